"""`check` and `pack` of folders, of VoxCeleb, and of what was packed."""

import re

import numpy as np
import pytest
import soundfile
from sounds import make_tree, make_voxceleb, write

from ssps_lib.corpora import check, open_corpus, pack, trial_lists
from ssps_lib.corpora.folder import open_folder

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def voxceleb(tmp_path):
    return make_voxceleb(tmp_path / "vox")


def packs(home):
    return sorted(path.name for path in (home / "corpora").iterdir() if path.is_dir())


# -- check --------------------------------------------------------------------------------------


def test_check_counts_and_notes_differences(voxceleb):
    report = check(voxceleb)
    assert report.faults == []
    assert "36 utterances of 9 speakers in 18 recordings" in report.title
    assert "12 train, 8 dev, 8 test, 8 rest" in report.title
    assert report.notes[:3] == ["trials O: 2", "trials E: 3", "trials H: 2"]
    assert report.notes[3].startswith("VoxCeleb2 dev: 12 of 1,092,009 utterances")
    assert str(report).endswith("\n0 faults")


def test_check_decodes_when_asked(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    soundfile.write(root / "s1/r1/nan.wav", np.full(16_000, np.nan), 16_000, "FLOAT")
    soundfile.write(root / "s1/r1/mute.wav", np.zeros(16_000), 16_000)
    write(root, "s2/r0/slow", rate=8_000, channels=2)
    quick = check(root)
    assert quick.faults == []
    assert "1 file will be resampled to 16000 Hz" in quick.notes
    assert "1 file will be mixed down to one channel" in quick.notes
    assert check(root, decode=True).faults == [
        "s1/r1/mute.wav: is silent: all its samples are zero",
        "s1/r1/nan.wav: holds samples that are not finite numbers",
    ]


def test_check_reads_lists_and_files_and_reports_all(voxceleb):
    (voxceleb / "veri_test2.txt").write_text("1 id10270/x/1.wav id10271/aaaaaaaaaaa/00001.wav\n")
    (voxceleb / "vox2/dev/wav/id00013/aaaaaaaaaaa/00002.wav").write_bytes(b"RIFF")
    write(voxceleb, "vox2/dev/stray")
    found, stray, cut = check(voxceleb).faults
    assert found == "veri_test2.txt, line 1: 'id10270/x/1.wav' is not in the corpus"
    assert "vox2/dev/stray.wav: wrong depth" in stray
    assert "id00013/aaaaaaaaaaa/00002.wav: cannot be read" in cut


def test_check_looks_at_noises(tmp_path):
    root = make_tree(tmp_path / "tree", speakers=6)
    write(tmp_path / "musan", "noise/short", seconds=0.1)
    soundfile.write(tmp_path / "musan/noise/silent.wav", np.zeros(16_000), 16_000)
    (tmp_path / "musan/noise/bad.wav").write_bytes(b"no sound" * 99)
    (fault,) = check(root, decode=True, noises=[tmp_path / "musan"]).faults
    assert fault.startswith("noise/bad.wav: cannot be read")


def test_check_of_a_pack_compares_checksums(tmp_path):
    folder = pack(make_tree(tmp_path / "tree", speakers=6))
    assert check(folder).faults == []
    assert "packed, 24 utterances" in check("tree").title  # by the name of the pack
    content = bytearray((folder / "audio.int16").read_bytes())
    content[100] ^= 1
    (folder / "audio.int16").write_bytes(content)
    (fault,) = check(folder).faults
    assert re.match(r"s\d/r0/u0.wav: differs from what was written", fault)


# -- pack ---------------------------------------------------------------------------------------


def test_voxceleb_is_packed_once_by_name_and_by_path(voxceleb, home, monkeypatch):
    folder = pack(voxceleb)
    assert folder == home / "corpora" / "voxceleb" and packs(home) == ["voxceleb"]
    monkeypatch.setattr("ssps_lib.corpora.packer.decode", None)  # a second pass would fail
    by_path, by_name = open_corpus(voxceleb), open_corpus("voxceleb")
    assert packs(home) == ["voxceleb"] and pack(voxceleb) == folder
    for part in ("train", "dev", "test"):
        assert getattr(by_path, part).fingerprint == getattr(by_name, part).fingerprint
    assert trial_lists("voxceleb") == trial_lists(voxceleb) == ["O", "E", "H"]


def test_what_was_opened_by_path_first_is_taken_over(voxceleb, home, monkeypatch):
    open_corpus(voxceleb)
    (name,) = packs(home)
    assert name.startswith("voxceleb-")
    monkeypatch.setattr("ssps_lib.corpora.packer.decode", None)
    pack(voxceleb)
    assert packs(home) == ["voxceleb"]
    assert len(open_corpus("voxceleb", trials="H").test_trials) == 2
    assert len(open_corpus(voxceleb, trials="E").test_trials) == 3


def test_noises_belong_to_the_pack(voxceleb):
    heard = []

    def noises(train, file):
        heard.append(len(train))
        file.write_bytes(b"a bank")

    folder = pack(voxceleb, noises=noises)
    assert heard == [12]
    assert open_corpus("voxceleb").bank == open_corpus(voxceleb).bank == folder / "bank.safetensors"


def test_a_folder_is_packed_under_its_name(tmp_path):
    root = make_tree(tmp_path / "voices", speakers=6)
    pack(root)
    assert trial_lists("voices") == []
    packed, direct = open_corpus("voices"), open_folder(root)
    assert list(packed.train.keys) == list(direct.train.keys)
    assert np.array_equal(packed.test.samples, direct.test.samples)
    assert (packed.test_trials.second == direct.test_trials.second).all()


def test_faulty_files_are_refused_or_left_out_and_listed(tmp_path, home):
    root, out = make_tree(tmp_path / "voices", speakers=7), tmp_path / "packed"
    (root / "s2/r0/u1.wav").write_bytes(b"")
    soundfile.write(root / "s3/r0/u1.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ValueError, match="has 2 faults; skip_faulty=True leaves faulty files out"):
        pack(root, out)
    with pytest.warns(UserWarning, match="2 faulty files"):
        pack(root, out, skip_faulty=True)
    assert (out / "skipped.txt").read_text() == (
        "s2/r0/u1.wav: is empty (0 bytes)\ns3/r0/u1.wav: is silent: all its samples are zero\n"
    )
    with pytest.warns(UserWarning):
        open_folder(root, skip_faulty=True)
    with pytest.raises(ValueError, match="has 2 faults"):  # although it is packed
        open_folder(root)


def test_a_pack_of_files_that_have_changed_since_is_refused(tmp_path):
    root, out = make_tree(tmp_path / "voices", speakers=6), tmp_path / "packed"
    assert pack(root, out) == pack(root, out) == out  # the second finds all done
    write(root, "s0/r0/more")
    with pytest.raises(ValueError, match="was packed from other files, or some have changed"):
        pack(root, out)
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match="exists and is not a packed corpus: choose another"):
        pack(root, tmp_path / "taken")


def test_what_cannot_be_scored_is_reported_and_not_packed(tmp_path):
    root, out = make_tree(tmp_path / "voices", speakers=6, recordings=1), tmp_path / "packed"
    assert len(check(root).faults) == 2
    with pytest.raises(ValueError, match="voices dev: no speaker has two recordings"):
        pack(root, out)
    assert not list(tmp_path.glob("packed*"))


def test_a_tilde_in_ssps_home_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("SSPS_HOME", "~/ssps")
    folder = pack(make_tree(tmp_path / "voices", speakers=6))
    assert folder == tmp_path / "me/ssps/corpora/voices"
