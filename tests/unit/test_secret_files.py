from pathlib import Path

import pytest

from streamapp.secret_files import is_set, read_secret, secret_in


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_what_a_file_says_without_the_line_break_at_its_end(
    tmp_path: Path, ending: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" hush\nhush " + ending.encode())
    assert read_secret(file) == " hush\nhush "


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "not text")],
)
def test_a_file_without_a_secret_is_refused_by_its_name(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=told) as caught:
        read_secret(file)
    assert str(file) in str(caught.value)


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_secret(tmp_path)


def test_a_secret_is_in_a_variable_or_in_the_file_that_another_names(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n")
    assert secret_in({"KEY": "hush"}, "KEY") == "hush"
    assert secret_in({"KEY_FILE": str(file), "KEY": ""}, "KEY") == "hush"
    assert secret_in({}, "KEY") is None
    assert [is_set(one, "KEY") for one in ({"KEY": "x"}, {"KEY_FILE": "x"}, {"KEY": ""})] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("key", ["hush", ""])
def test_a_secret_in_two_places_or_in_no_file_is_refused_by_its_variables(key: str) -> None:
    with pytest.raises(ValueError, match=r"^KEY(_FILE names a file| and KEY_FILE are)"):
        secret_in({"KEY": key, "KEY_FILE": "/nowhere"}, "KEY")
