from pathlib import Path

import numpy as np
import pytest
from training.soft import blended, read, write

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS


def answers(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([[value] * len(LABELS) for value in values], np.float32)


def test_the_word_of_two_teachers_is_their_mean_and_a_text_that_none_knows_has_none(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", ["one", "two"], answers(0.25, 0.5), {})
    write(tmp_path / "b.npz", ["two", "three"], answers(1.0, 0.75), {})
    said = read([tmp_path / "a.npz", tmp_path / "b.npz"], ["three", "two", "never seen", "one"])
    assert np.allclose(said, answers(0.75, 0.75, np.nan, 0.25), equal_nan=True)


def test_without_a_teacher_nothing_is_said() -> None:
    assert np.isnan(read([], ["one", "two"])).all()


def test_a_file_that_is_no_teacher_s_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"not an archive")
    with pytest.raises(ConfigError, match=r"a\.npz is not a teacher's answers"):
        read([tmp_path / "a.npz"], ["one"])


def test_labels_and_teachers_count_half_each_where_both_speak() -> None:
    found = blended(answers(1.0, np.nan, 0.0, np.nan), answers(0.5, 0.25, np.nan, np.nan))
    assert np.allclose(found, answers(0.75, 0.25, 0.0, np.nan), equal_nan=True)
