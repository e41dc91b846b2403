from streamapp.local_kafka.errors import StartError


def test_the_end_of_the_log_follows_the_sentence_without_stack_frames() -> None:
    log = "\n".join([*(f"line {n}" for n in range(40)), "Caused by: X", "\tat kafka.Kafka.main"])
    text = str(StartError("Kafka ended.", log=log))
    assert text.splitlines()[0] == "Kafka ended. The end of its log:"
    assert text.splitlines()[-1] == "    Caused by: X"
    assert "line 39" in text
    assert "line 10" not in text


def test_without_a_log_there_is_the_sentence_alone() -> None:
    assert str(StartError("Kafka ended.", log="")) == "Kafka ended."
