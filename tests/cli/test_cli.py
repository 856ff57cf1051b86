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
from ssps_lib import cli, encoders, pretrained, scorer
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
    assert pretrained.NOTE in printed.err


def test_a_file_verifies_itself(folder, capsys):
    one = str(folder / "a.wav")
    assert main(["verify", one, one]) == 0
    text = capsys.readouterr().out
    known = pretrained.calibration()
    assert "cosine 1.0000" in text and f"accepted: threshold {known.threshold:g}" in text
    assert f"{known.eer:.1f} % in SIMULATED sessions" in text
    assert f"{known.trials:,} trials of {known.test_speakers} real speakers" in text


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


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """The current folder, with a.wav, b.wav and files that are something else."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.3, 0.3, 16_000)
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for name, samples, subtype in (
        ("silent.wav", 0 * noise, "PCM_16"),
        ("dither.wav", rng.integers(-1, 2, 16_000) / 32768, "PCM_16"),
        ("click.wav", 0.5 * np.eye(1, 16_000, 8_000)[0], "PCM_16"),
        ("direct.wav", 0 * noise + 0.25, "FLOAT"),
        ("antiphase.wav", np.stack([noise, -noise], 1), "PCM_16"),
        ("int16range.wav", 32768 * noise, "FLOAT"),
        ("quiet32.wav", noise / 2**16, "PCM_32"),
        ("nan.wav", np.where(np.arange(16_000) == 9, np.nan, noise), "FLOAT"),
    ):
        soundfile.write(tmp_path / name, samples, 16_000, subtype)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no audio at all")
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("no audio at all")
    (tmp_path / "bad.txt").write_text("2 a.wav a.wav\n")
    (tmp_path / "kaldi.txt").write_text("a.wav b.wav target\n")
    (tmp_path / "both.txt").write_text("1 a.wav b.wav\n0 ./b.wav a.wav\n")
    (tmp_path / "absent.txt").write_text("1 a.wav nobody.wav\n")
    (tmp_path / "silent.txt").write_text("1 a.wav silent.wav\n0 b.wav silent.wav\n")
    (tmp_path / "page.pt").write_text("<html>Sign in</html>")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("embed gone.wav", "error: 'gone.wav' does not exist\n"),
        ("embed empty", "'empty' holds no audio file (it is empty)"),
        ("embed texts", "'texts' holds no audio file (passed over 1 file of other kinds: 1 .txt)"),
        ("embed a.wav text.wav zero.wav", "2 files:\n  'text.wav' cannot be read"),
        ("embed a.wav nan.wav", "'nan.wav' holds samples that are not finite numbers"),
        ("verify a.wav zero.wav", "error: 'zero.wav' is empty (0 bytes)\n"),
        ("verify a.wav a.wav --threshold 12", "--threshold is 12.0, expected a"),
        ("verify a.wav a.wav --threshold nan", "--threshold is nan, expected a"),
        ("verify a.wav a.wav --encoder none", "no checkpoint at 'none'"),
        ("verify a.wav a.wav --encoder page.pt", "it is a web page, saved in place of the file"),
        ("verify a.wav a.wav --device tpu", "--device is 'tpu', expected cpu"),
        ("verify silent.wav silent.wav", "'silent.wav' is silent: all its samples are zero"),
        ("score gone.txt", "'gone.txt' is neither"),
        ("score bad.txt", "bad.txt, line 1: '2 a.wav a.wav' is not '1|0 fileA fileB'"),
        ("score kaldi.txt", "it has Kaldi's form"),
        ("score both.txt", "both.txt"),
        ("score absent.txt", "'nobody.wav' does not exist"),
        ("score silent.txt", "'silent.wav' is silent"),
        ("score bad.txt --trials O", "--trials chooses lists of a corpus, but 'bad.txt' is one"),
        ("score empty --root empty", "--root is for a list of files, but 'empty' is a corpus"),
        ("export page.pt x.onnx", "it is a web page, saved in place of the file"),
        ("check empty", "corpus 'empty' holds no audio: expected <speaker>"),
        ("pack gone", "'gone' is not an existing folder: check the path"),
        ("trials gone", "corpus 'gone' is neither"),
    ],
)
def test_errors_are_told_without_a_traceback(here, command, arguments, message):
    status, out, err = command(*arguments.split())
    assert status == 2 and out == ""
    assert message in err and err.count("error:") == 1


NO_SPEECH = {
    "silent.wav": "is silent: all its samples are zero",
    "dither.wav": "is silent (peak",
    "click.wav": "a constant, or a click",
    "direct.wav": "a constant, or a click",
    "antiphase.wav": "is silent once mixed down: its channels cancel",
    "int16range.wav": "beyond full scale",
    "quiet32.wav": "samples of 16 bits in a file of 32",
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_what_is_no_speech_is_neither_embedded_nor_verified(here, command, name):
    (here / "one.txt").write_text(f"1 a.wav {name}\n0 b.wav {name}\n")
    for arguments in (["verify", name, name, "--threshold", -1], ["embed", name, "--out", "y.npz"],
                      ["score", "one.txt", "--out", "scores.txt"]):  # fmt: skip
        status, out, err = command(*arguments)
        assert status == 2 and out == "" and NO_SPEECH[name] in err
    assert not (here / "y.npz").exists() and not (here / "scores.txt").exists()


@pytest.mark.parametrize(
    ("words", "endings"),
    [
        (["embed", "a.wav", "--out"], ".npz"),
        (["score", "trials.txt", "--out"], ".txt"),
        (["trials", "tree", "--out"], ".txt"),
        (["export", "encoder.safetensors"], ".pt2"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    here, command, monkeypatch, words, endings
):
    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(scorer, "embed", work)
    monkeypatch.setattr("ssps_lib.corpora.open_corpus", work)
    (here / "trials.txt").write_text("1 a.wav b.wav\n")
    pretrained.encoder().save_pretrained(here / "encoder")
    (here / "encoder" / "model.safetensors").rename(here / "encoder.safetensors")
    (here / f"taken{endings}").mkdir()
    before = sorted(here.rglob("*"))
    places = {f"taken{endings}": "expected a file", f"a.wav/out{endings}": "cannot be written"}
    if Path("/proc").is_dir():
        places[f"/proc/out{endings}"] = "cannot be written"  # not even by root
    if words[0] == "embed":
        places["y.txt"] = "expected a file that ends in .npz"
    for place, message in places.items():
        if words[0] == "export" and place.startswith("taken"):
            continue  # a folder for from_pretrained
        status, out, err = command(*words, place)
        assert status == 2 and out == "" and message in err, place
    assert sorted(here.rglob("*")) == before


def test_a_folder_is_walked_by_the_rule_of_corpora(here, command):
    for name in ("x/b.WAV", "x/deep/c.wav", "x/._b.wav", "x/.hidden/d.wav"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes((here / "a.wav").read_bytes())
    (here / "x/notes.txt").write_text("about the recordings")
    status, out, err = command("embed", "x", "a.wav", "x/b.WAV")
    assert status == 0
    files = [line.split("\t")[0] for line in out.splitlines()]
    assert files == ["x/b.WAV", "x/deep/c.wav", "a.wav"]
    assert "warning: 'x': passed over 1 file of other kinds: 1 .txt" in err


def test_long_files_are_read_in_windows_and_it_is_said(here, command, monkeypatch):
    monkeypatch.setattr(scorer, "LONGEST", 0.4)
    status, out, err = command("embed", "a.wav")  # of one second: three windows
    samples = torch.from_numpy(soundfile.read("a.wav", dtype="float32")[0])[:15_999]
    with torch.no_grad():
        expected = pretrained.encoder()(samples.reshape(3, -1)).mean(0)
    assert status == 0 and "warning: 'a.wav': what lasts more than 0.4 s (1 of 1) is taken" in err
    found = np.array([float(value) for value in out.split("\t")[1:]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("labels", "asked"), [("10", False), ("01", True), ("11", False)])
def test_an_eer_above_50_asks_whether_labels_are_reversed(here, command, labels, asked):
    soundfile.write("a2.wav", 0.9 * soundfile.read("a.wav")[0], 16_000)
    (here / "trials.txt").write_text("{} a.wav a2.wav\n{} a.wav b.wav\n".format(*labels))
    status, out, err = command("score", "trials.txt")
    assert status == 0 and ("are the labels reversed?" in err) == asked
    assert ("EER 100.00 %" in out) == asked and ("EER needs both" in out) == (labels == "11")


def test_an_encoder_is_exported_by_the_ending(here, command):
    torch.manual_seed(0)
    small = encoders.build("ecapa_tdnn", channels=8, dim=4, attention=4, se=4).eval()
    encoders.save_encoder(small, here / "encoder.safetensors")
    waveform = 0.1 * torch.randn(1, 12_000)
    expected = small(waveform).detach()
    for out in ("again.safetensors", "folder", "program.pt2"):
        status, text, _ = command("export", "encoder.safetensors", out)
        assert status == 0 and text == f"{out}: ecapa_tdnn of 4 dimensions\n"
        if out.endswith(".pt2"):
            found = torch.export.load(out).module()(waveform)
        else:
            found = encoders.load_encoder(here / out)(waveform)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert encoders.Encoder.from_pretrained(here / "folder").config == small.config
    status, _, err = command("export", "encoder.safetensors", "encoder.pdf")
    assert status == 2 and "expected a file that ends in .onnx or .pt2 or .safetensors" in err


def test_a_diverged_encoder_embeds_nothing(here, command):
    small = encoders.build("ecapa_tdnn", channels=8, dim=4, attention=4, se=4)
    small.fc.bias.data[0] = float("nan")
    encoders.save_encoder(small, here / "encoder.safetensors")
    for words in (["embed", "a.wav"], ["verify", "a.wav", "a.wav"]):
        status, out, err = command(*words, "--encoder", "encoder.safetensors")
        assert status == 2 and out == "" and "not finite: did its training diverge?" in err


# -- the command line itself --------------------------------------------------------------------

COMMANDS = ("check", "pack", "trials", "embed", "verify", "score", "export")


def test_help_names_every_command_and_layout(command):
    status, out, _ = command("--help")
    assert status == 0
    for word in (*COMMANDS, "examples:", "<speaker>/<recording>/", "voices in SIMULATED sessions"):
        assert word in out
    examples = [line.split()[1:] for line in cli.EXAMPLES.splitlines() if line.startswith("  ssps")]
    assert {words[0] for words in examples} == set(COMMANDS)
    for words in examples:
        cli.parser().parse_args(words)  # every example is well-formed


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0
    (chosen,) = (action for action in cli.parser()._actions if action.choices)
    for action in chosen.choices[name]._actions:
        assert action.help and " ".join(action.help.split())[:20] in " ".join(out.split())


def in_a_shell(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(Path(ssps_lib.__file__).parents[1])}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment,
                          capture_output=True, text=True)  # fmt: skip


def test_the_module_runs_as_a_command(folder):
    done = in_a_shell(folder, "-m", "ssps_lib", "verify", "a.wav", "none.wav")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "error: 'none.wav' does not exist"


def test_commands_on_corpora_start_without_pytorch(tmp_path):
    """It takes seconds and half a gigabyte."""
    code = "import sys, ssps_lib.cli.corpora; print({'torch', 'scipy'} & set(sys.modules))"
    done = in_a_shell(tmp_path, "-c", code)
    assert done.stdout == "set()\n", done.stderr
