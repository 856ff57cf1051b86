"""The command `ssps`: what it prints and writes, against the library's own functions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import ssps_lib
from ssps_lib import encoders, pretrained, scorer
from ssps_lib.cli import main
from ssps_lib.cli.encoders import embed_files
from ssps_lib.corpora import Trials


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four files of 16-bit noise: a, b and c of three lengths at 16 kHz, d in stereo at 22 kHz."""
    root, rng = tmp_path_factory.mktemp("wav"), np.random.default_rng(0)
    for name, samples in (("a", 16_000), ("b", 12_000), ("c", 20_000)):
        noise = np.cumsum(rng.standard_normal(samples)) % 1 - 0.5
        soundfile.write(root / f"{name}.wav", noise, 16_000, subtype="PCM_16")
    soundfile.write(root / "d.flac", rng.uniform(-0.5, 0.5, (22_050, 2)), 22_050)
    return root


@pytest.fixture(scope="module")
def encoder():
    return pretrained.encoder()


def alone(encoder, file):
    """The representation of one file by itself, (D,)."""
    samples = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
    with torch.no_grad():
        return encoder(samples[None])[0]


def test_embed_writes_what_the_encoder_gives_for_each_file_alone(folder, encoder, tmp_path):
    out = tmp_path / "y.npz"
    names = [str(folder / f"{name}.wav") for name in "cab"]
    assert main(["embed", *names, "--out", str(out)]) == 0
    found = np.load(out)
    assert found["keys"].tolist() == names
    expected = torch.stack([alone(encoder, name) for name in names])
    np.testing.assert_allclose(found["embeddings"], expected, atol=1e-5)


def test_embed_prints_a_line_for_each_file_of_a_folder(folder, encoder, capsys):
    assert main(["embed", str(folder)]) == 0
    printed = capsys.readouterr()
    rows = [line.split("\t") for line in printed.out.splitlines()]
    assert [Path(row[0]).name for row in rows] == ["a.wav", "b.wav", "c.wav", "d.flac"]
    found = np.array([[float(value) for value in row[1:]] for row in rows[:1]])
    np.testing.assert_allclose(found[0], alone(encoder, folder / "a.wav"), atol=1e-4)
    assert "simulated voices only" in printed.err


def test_a_file_verifies_itself(folder, capsys):
    one = str(folder / "a.wav")
    assert main(["verify", one, one]) == 0
    text = capsys.readouterr().out
    assert "cosine 1.0000" in text and "accepted: threshold 0.78" in text
    assert "8.4 % on SIMULATED voices" in text and "9,600 trials of 80 simulated speakers" in text


def test_verify_prints_the_cosine_and_obeys_a_threshold(folder, encoder, capsys):
    files = [folder / "a.wav", folder / "d.flac"]
    a, b = torch.nn.functional.normalize(embed_files(encoder, files), dim=1)
    arguments = ["verify", *map(str, files), "--threshold"]
    assert main([*arguments, f"{float(a @ b) + 0.01:.4f}"]) == 1
    text = capsys.readouterr().out
    assert f"cosine {float(a @ b):.4f}" in text and "rejected" in text and "(given)" in text
    assert main([*arguments, f"{float(a @ b) - 0.01:.4f}"]) == 0


def test_another_encoder_has_no_threshold(folder, tmp_path, capsys):
    small = encoders.build("ecapa_tdnn", channels=8, dim=4, attention=4, se=4)
    small.save_pretrained(tmp_path)
    files = [str(folder / "a.wav"), str(folder / "b.wav")]
    assert main(["verify", *files, "--encoder", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "no threshold is known" in printed.out and "simulated" not in printed.out + printed.err


def test_score_agrees_with_the_scorer(folder, encoder, tmp_path, capsys):
    trials = tmp_path / "trials.txt"
    trials.write_text("1 a.wav b.wav\n0 a.wav c.wav\n1 c.wav b.wav\n0 d.flac a.wav\n")
    out = tmp_path / "scores.txt"
    assert main(["score", str(trials), "--root", str(folder), "--out", str(out)]) == 0
    y = embed_files(encoder, [folder / f for f in ("a.wav", "b.wav", "c.wav", "d.flac")])
    labels = np.array([1, 0, 1, 0])
    scores = scorer.score(y, Trials(labels, np.array([0, 0, 2, 3]), np.array([1, 2, 1, 0])))
    rows = [line.split() for line in out.read_text().splitlines()]
    np.testing.assert_allclose([float(row[0]) for row in rows], scores, atol=1e-5)
    assert rows[3][1:] == ["d.flac", "a.wav"]
    assert f"EER {scorer.eer(scores, labels):.2f} %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "gone.wav"], "error: 'gone.wav' does not exist: check the path\n"),
        (["embed", "a.wav", "--out", "y.txt"], "expected a file that ends in .npz"),
        (["embed", "empty"], "'empty' holds no audio file"),
        (["embed", "a.wav", "text.wav", "zero.wav"], "2 files:\n  'text.wav' cannot be read"),
        (["verify", "a.wav", "zero.wav"], "error: 'zero.wav' is empty (0 bytes)\n"),
        (["verify", "a.wav", "a.wav", "--threshold", "12"], "--threshold is 12.0, expected a"),
        (["verify", "a.wav", "a.wav", "--encoder", "none"], "no checkpoint at 'none'"),
        (["verify", "a.wav", "a.wav", "--device", "tpu"], "--device is 'tpu', expected cpu"),
        (["score", "gone.txt"], "'gone.txt' is not a file, expected a list of trials"),
        (["score", "bad.txt"], "bad.txt, line 1: '2 a.wav a.wav' is not '1|0 fileA fileB'"),
        (["score", "absent.txt"], "'nobody.wav' does not exist"),
    ],
)
def test_errors_are_told_without_a_traceback(
    folder, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("no audio at all")
    (tmp_path / "bad.txt").write_text("2 a.wav a.wav\n")
    (tmp_path / "absent.txt").write_text("1 a.wav nobody.wav\n")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("error:") == 1
    assert printed.out == ""


@pytest.mark.parametrize("command", ["", "embed", "verify", "score"])
def test_help_suffices(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    assert "simulated voices only" in text.lower()


def test_the_module_runs_as_a_command(folder):
    source = Path(ssps_lib.__file__).parents[1]
    command = [sys.executable, "-m", "ssps_lib", "verify", "a.wav", "none.wav"]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "error: 'none.wav' does not exist"
