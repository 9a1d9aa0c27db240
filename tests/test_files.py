"""Files and folders that are either whole or absent."""

from pathlib import Path

import pytest

from slategym.files import atomic_folder, write_text


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(FileNotFoundError), atomic_folder(target) as folder:
        (folder / "half").write_bytes((tmp_path / "nowhere").read_bytes())
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as folder:
        (folder / "new").write_text("x")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("x")
    move = Path.replace

    def refuse(self: Path, to: Path) -> Path:
        if to == target and not (self / "old").exists():
            raise PermissionError
        return move(self, to)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError), atomic_folder(target) as folder:
        (folder / "new").write_text("x")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
