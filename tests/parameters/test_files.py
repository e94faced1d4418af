"""A model is saved and loaded exactly. A wrong file changes no parameter, and a crash leaves the old file whole."""

import json
import math
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from micrograd_cn.nn import MLP, Neuron

from .models import Block, data


@pytest.mark.parametrize("make", [Block, lambda: MLP(2, [3, 1], seed=1), lambda: Neuron(2, seed=1)])
def test_a_saved_model_loads_to_the_bit(make, tmp_path):
    model, other = make(), make()
    special = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, math.nan, 1 / 3, -1e-300, 2**53 + 1.0]
    for p, x in zip(model.parameters(), special, strict=False):
        p.data = x
    model.save(tmp_path / "model.json")
    other.load(tmp_path / "model.json")
    assert [x.hex() for x in data(other)] == [x.hex() for x in data(model)]
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]
    assert (tmp_path / "model.json").read_text() == json.dumps(model.state_dict(), indent=1)


@pytest.mark.parametrize("written", ["1e400", "-1e400", "1.5e309", "1e99999999999999999999", "1" + "0" * 400])
def test_a_weight_in_a_file_that_is_too_large_for_a_float_is_named_however_it_is_written(written, tmp_path):
    model, path = Neuron(2, seed=0), tmp_path / "model.json"
    before = data(model)
    path.write_text(f'{{"weight": [0.5, {written}], "bias": 0.0}}')
    with pytest.raises(ValueError, match=r"weight\[1\] is too large for a float"):
        model.load(path)
    assert data(model) == before


@pytest.mark.parametrize("length", [0, 1, 30, -2])
def test_a_truncated_file_is_refused_by_name_and_changes_no_parameter(length, tmp_path):
    model = MLP(2, [3, 1], seed=0)
    path = tmp_path / "model.json"
    MLP(2, [3, 1], seed=1).save(path)
    path.write_text(path.read_text()[:length])
    before = data(model)
    with pytest.raises(ValueError, match=r"model.json is not a saved model, or was truncated"):
        model.load(path)
    assert data(model) == before


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, b"\xff\xfe"], ids=["lists", "dicts", "bytes"])
def test_a_file_of_anything_else_is_refused_by_name(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"model.json is not a saved model, or was truncated"):
        Neuron(1).load(path)


@pytest.mark.parametrize("text", ["[1, 2]", "3", '"weight"', "null"])
def test_a_file_whose_json_is_no_object_is_refused_by_name(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"model.json is not a saved model: its JSON is no object"):
        Neuron(1).load(path)


def test_saving_while_another_thread_saves_there_leaves_the_last_file_whole(tmp_path, monkeypatch):
    """Two threads that save to one path at the same time use different temporary files, and the last one wins."""
    path = tmp_path / "model.json"
    first, second, found = Neuron(1, seed=0), Neuron(2, seed=1), Neuron(2)
    fsync = os.fsync

    def interrupted(descriptor):
        monkeypatch.setattr(os, "fsync", fsync)
        with ThreadPoolExecutor(1) as other:
            other.submit(second.save, path).result()
        found.load(path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    first.save(path)
    assert data(found) == data(second)
    found = Neuron(1)
    found.load(path)
    assert data(found) == data(first)
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_all_is_on_the_disk_before_the_old_file_is_replaced(tmp_path, monkeypatch):
    model = Neuron(2, seed=0)
    written = []

    def look(descriptor):
        [temporary] = tmp_path.iterdir()
        assert os.fstat(descriptor).st_ino == temporary.stat().st_ino
        written.append(json.loads(temporary.read_text()))

    monkeypatch.setattr(os, "fsync", look)
    model.save(tmp_path / "model.json")
    assert written == [model.state_dict()]


@pytest.mark.parametrize("there", [True, False])
def test_saving_through_a_symbolic_link_replaces_what_it_leads_to(there, tmp_path):
    link, target = tmp_path / "latest.json", tmp_path / "elsewhere" / "model.json"
    target.parent.mkdir()
    link.symlink_to(target)
    if there:
        Neuron(2).save(target)
    model, other = Neuron(1, seed=0), Neuron(1)
    model.save(link)
    assert link.is_symlink()
    assert not target.is_symlink()
    other.load(target)
    assert data(other) == data(model)
    assert [p.name for p in target.parent.iterdir()] == ["model.json"]


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_a_crash_at_any_point_of_saving_leaves_the_old_file_whole(name, tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    old = MLP(2, [3, 1], seed=0)
    old.save(path)
    whole = path.read_bytes()

    def crash(*arguments, **options):
        raise KeyboardInterrupt

    if name == "write":
        monkeypatch.setattr(json, "dump", lambda state, file, **_: (file.write("{"), file.flush(), crash()))
    elif name == "open":
        monkeypatch.setattr("builtins.open", crash)
    else:
        monkeypatch.setattr(os, name, crash)
    with pytest.raises(KeyboardInterrupt):
        MLP(2, [3, 1], seed=1).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    Neuron(1).save(tmp_path / "model.json")
    assert stat.S_IMODE((tmp_path / "model.json").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o777])
def test_saving_over_a_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "model.json"
    path.touch()
    path.chmod(mode)
    Neuron(1).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_is_written_is_never_readable_by_more_people_than_the_old_file(tmp_path, monkeypatch):
    """The temporary file has the old file's permissions before any weight is written to it."""
    path = tmp_path / "model.json"
    path.touch()
    path.chmod(0o600)
    dump, modes = json.dump, []

    def look(state, file, **options):
        modes.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        dump(state, file, **options)

    monkeypatch.setattr(json, "dump", look)
    Neuron(1).save(path)
    assert modes == [0o600]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_saving_over_a_file_keeps_its_owner_and_group(tmp_path):
    path = tmp_path / "model.json"
    path.touch()
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    Neuron(1).save(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)


def test_an_owner_that_cannot_be_set_is_left_out(tmp_path, monkeypatch):
    """Saving over somebody else's file succeeds, although only root may keep its owner."""
    path = tmp_path / "model.json"
    path.touch()
    real = os.fstat

    def another_owner(file):
        found = [*real(file)]
        found[4] += 1
        return os.stat_result(found)

    tried = []

    def refused(_, user, group):
        tried.append((user, group))
        raise PermissionError

    old = path.stat()
    monkeypatch.setattr(os, "fstat", another_owner)
    monkeypatch.setattr(os, "fchown", refused)
    Neuron(1, init="zeros").save(path)
    assert tried == [(-1, old.st_gid), (old.st_uid, -1)], "a user may be allowed one of them"
    assert json.loads(path.read_text()) == {"weight": [0.0], "bias": 0.0}


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link"])
def test_saving_over_what_is_no_regular_file_is_refused(kind, tmp_path):
    path = tmp_path / "model.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path(os.devnull)
    else:
        os.mkfifo(tmp_path / "pipe")
        path = tmp_path / "pipe"
        if kind == "link":
            path = tmp_path / "link"
            path.symlink_to("pipe")
    before = path.stat()
    with pytest.raises(OSError, match=r"is no regular file, and saving would replace it; save to another path"):
        Neuron(1).save(path)
    assert stat.S_IFMT(path.stat().st_mode) == stat.S_IFMT(before.st_mode)


def test_an_entry_that_is_in_a_file_twice_is_refused(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"weight": [1.0], "bias": 1.0, "bias": 2.0}')
    model = Neuron(1, seed=0)
    before = data(model)
    with pytest.raises(ValueError, match=r"model.json is not a saved model, .*: 'bias' is there twice"):
        model.load(path)
    assert data(model) == before


def test_saving_where_there_is_no_directory_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Neuron(1).save(tmp_path / "missing" / "model.json")


def test_a_missing_folder_is_named_without_the_temporary_file(tmp_path):
    path = tmp_path / "missing" / "model.json"
    with pytest.raises(FileNotFoundError) as refused:
        MLP(1, [1]).save(path)
    assert refused.value.filename == str(path)
