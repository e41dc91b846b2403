from streamapp.local_kafka.kafka_jvm import new_cluster_id


def test_a_cluster_id_never_looks_like_an_option() -> None:
    ids = {new_cluster_id() for _ in range(3000)}
    assert len(ids) == 3000
    assert not [text for text in ids if text.startswith("-")]
    assert {len(text) for text in ids} == {22}
