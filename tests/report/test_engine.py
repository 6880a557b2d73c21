import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import papermill
import psutil
import pytest

from tests.conftest import ROOT
from wwc_research.errors import InputError, ReportError
from wwc_research.report import engine
from wwc_research.report.kernels import LONGEST_FOLDER, environment, short_folder
from wwc_research.report.page_work import PageWork

linux = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
TEMPLATE = ROOT / "notebooks" / "outcome_report.ipynb"
HEAVY = ("pandas", "numpy", "matplotlib", "nbformat", "jsonschema", "jupyter_client", "papermill", "nbconvert", "zmq")


def notebook(folder, *cells, name="tiny"):
    """A notebook that takes `word` and `evidence`, and runs `cells`."""
    first = nbformat.v4.new_code_cell("word = 'none'\nevidence = ''", id="p", metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(source, id=f"c{number}") for number, source in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *rest], metadata=kernel), path)
    return path


def work(folder, template, *, name="page", word="w", **parameters):
    return PageWork(
        name=name,
        notebook=template,
        executed=folder / "executed" / f"{name}.ipynb",
        target=folder / "pages" / f"{name}.html",
        parameters={"word": word, **parameters},
        title=f"Page {name}",
    )


def rendered(works, **options):
    seen = []
    failed = engine.render(works, jobs=2, tick=seen.append, **options)
    assert sorted(seen) == sorted(item.name for item in works)
    return failed


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


MANY_SIDED = (
    "import random, sys, os, warnings\nimport numpy as np\nimport pandas as pd\nfrom pathlib import Path",
    "print(sorted(Path.cwd().name for _ in 'x'), __name__, sys.argv[0].endswith('ipynb'), word)",
    "print([pd.get_option(name) for name in pd._config.config._registered_options if name.startswith('display')])",
    "pd.DataFrame({f'column {n}': [n] for n in range(30)})",
    "print({'a', 'b', 'c', 'd', 'e'}, os.environ['MPLBACKEND'])",
    "warnings.warn('mind the gap')",
    "from matplotlib import pyplot as plt\nplt.plot([1, 2]);",
    "from IPython.display import HTML\nHTML(f'<p>{word}</p>')",
)


@linux
@pytest.mark.notebook
def test_forked_and_fresh_kernels_give_the_same_bytes(tmp_path):
    template, made = notebook(tmp_path, *MANY_SIDED), {}
    for kind in ("fork", "portable"):
        works = [work(tmp_path / kind, template, name=name, word=name) for name in ("one", "two")]
        assert rendered(works, kind=kind) == {}
        made[kind] = files(tmp_path / kind)
    assert made["fork"] == made["portable"]
    assert len(made["fork"]) == 4
    page = made["fork"][next(path for path in made["fork"] if path.name == "two.html")].decode()
    assert "<p>two</p>" in page
    assert str(tmp_path) not in "".join(text.decode() for text in made["fork"].values())


@linux
@pytest.mark.notebook
def test_a_page_that_fails_leaves_the_others_alone(tmp_path):
    """An error, a kernel that ends itself, one that is killed, a cell without end, and a page that is well."""
    cells = {
        "wrong": "1 / 0",
        "exits": "import os\nos._exit(3)",
        "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "endless": "import time\ntime.sleep(60)",
        "well": "print(word)",
    }
    works = [work(tmp_path, notebook(tmp_path, source, name=name), name=name) for name, source in cells.items()]
    failed = rendered(works, kind="fork", cell_seconds=2)
    assert list(failed) == ["wrong", "exits", "killed", "endless"]
    assert "wrong.ipynb: ZeroDivisionError: division by zero (the full trace is in" in failed["wrong"]
    assert "exits.ipynb: its kernel died" in failed["exits"]
    assert "killed.ipynb: its kernel died" in failed["killed"]
    assert "endless.ipynb: a cell took longer than 2 seconds" in failed["endless"]
    assert all("\n" not in reason and str(tmp_path) not in reason for reason in failed.values())
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["well.html"]
    kept = nbformat.read(tmp_path / "executed" / "wrong.ipynb", as_version=4)
    assert kept.cells[-1].outputs[0].ename == "ZeroDivisionError"
    assert kept.metadata.papermill.exception is True
    assert [cell.metadata.papermill.status for cell in kept.cells] == ["completed", "completed", "failed"]


@linux
@pytest.mark.notebook
def test_pages_share_neither_random_numbers_nor_state(tmp_path):
    source = (
        "import random, sys\nimport numpy as np\nprint(random.random(), np.random.rand())\n"
        "assert not hasattr(sys, 'left_behind')\nsys.left_behind = True"
    )
    template = notebook(tmp_path, source)
    works = [work(tmp_path, template, name=f"p{number}") for number in range(3)]
    assert rendered(works, kind="fork") == {}
    drawn = [
        float(value)
        for item in works
        for value in nbformat.read(item.executed, as_version=4).cells[-1].outputs[0].text.split()
    ]
    assert len(set(drawn)) == 6


@pytest.mark.notebook
def test_one_page_by_the_portable_way_says_what_it_was_told_or_why_not(tmp_path):
    good = work(tmp_path, notebook(tmp_path, "print(word)"), word='O\'Fallon "city" 01001')
    engine.render_one(good)
    executed = nbformat.read(good.executed, as_version=4)
    assert executed.cells[-1].outputs[0].text == 'O\'Fallon "city" 01001\n'
    assert executed.cells[1].metadata.tags == ["injected-parameters"]
    assert executed.metadata.papermill.parameters == {"word": 'O\'Fallon "city" 01001'}
    bad = work(tmp_path, notebook(tmp_path, "raise ValueError(word)", name="bad"), name="bad", word="no\nsuch city")
    with pytest.raises(ReportError, match=r"bad\.ipynb: ValueError: no such city"):
        engine.render_one(bad)
    assert not bad.target.exists()


# a shell's background jobs ignore Ctrl-C, and so does all that they start
DRIVER = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from wwc_research.report import engine
from wwc_research.report.page_work import PageWork
folder, kind = Path(sys.argv[1]), sys.argv[2]
works = [PageWork(name=n, notebook=folder / "tiny.ipynb", executed=folder / f"{n}.x.ipynb", target=folder / f"{n}.html",
                  parameters={"word": str(folder / n)}, title=n) for n in "abc"]
engine.render(works, jobs=2, kind=kind, tick=print)
"""
SLEEP = (
    "import subprocess, sys, time\nfrom pathlib import Path\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\nPath(word).touch()\ntime.sleep(60)"
)


@linux
@pytest.mark.notebook
@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("fork", signal.SIGINT),
        ("fork", signal.SIGTERM),
        ("fork", signal.SIGKILL),
        ("portable", signal.SIGKILL),
    ],
)
def test_a_run_that_is_ended_leaves_no_kernel_behind(tmp_path, kind, number):
    notebook(tmp_path, SLEEP if number != signal.SIGKILL else SLEEP.replace("subprocess.Popen", "str"))
    sockets = tmp_path / "t"
    sockets.mkdir()
    short = len(str(sockets)) <= LONGEST_FOLDER
    environ = os.environ | ({"TMPDIR": str(sockets)} if short else {})
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), kind], env=environ, cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()):
            assert time.monotonic() < deadline
            assert driver.poll() is None
            time.sleep(0.05)
        started = psutil.Process(driver.pid).children(recursive=True)
        assert len(started) >= 2
        driver.send_signal(number)
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == []
        error = driver.communicate(timeout=30)[1].decode()
    finally:
        driver.kill()
    assert driver.returncode == -number or (number == signal.SIGINT and "KeyboardInterrupt" in error)
    assert not list(tmp_path.glob("*.html"))
    if kind == "fork" or number != signal.SIGKILL:
        assert list(sockets.iterdir()) == []


def test_all_faults_of_a_batch_are_told_at_once(tmp_path):
    template = notebook(tmp_path, "1")
    works = [
        work(tmp_path, template, name="a", outcome="x"),
        work(tmp_path, template, name="a", word="y"),
        work(tmp_path, tmp_path / "absent.ipynb", name="b"),
    ]
    with pytest.raises(InputError) as caught:
        engine.render(works, jobs=1, tick=lambda name: None)
    text = str(caught.value)
    assert "tiny.ipynb has no parameter outcome; it takes evidence and word" in text
    assert "absent.ipynb: there is no such notebook" in text
    assert "two pages would be written to" in text
    assert not (tmp_path / "executed").exists()


def test_a_wrong_parameter_is_refused_before_anything_heavy_is_imported(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom wwc_research.report import engine\n"
        "from wwc_research.report.page_work import PageWork\nfrom wwc_research.errors import InputError\n"
        "p = Path(sys.argv[1])\n"
        "w = PageWork(name='a', notebook=p, executed=p, target=p, parameters={'evidnce': ''}, title='')\n"
        "try:\n    engine.check([w])\nexcept InputError as error:\n"
        "    import json\n    print(json.dumps([str(error), sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(TEMPLATE)], capture_output=True, check=True, cwd=ROOT)
    text, modules = json.loads(done.stdout)
    assert "outcome_report.ipynb has no parameter evidnce; it takes " in text
    assert "evidence_path" in text
    assert sorted(set(HEAVY) & set(modules)) == []


def test_another_engine_than_those_there_are_is_refused_with_their_names(tmp_path):
    with pytest.raises(InputError, match="there is no engine 'quick'; use auto, fork and portable"):
        engine.render([], jobs=1, kind="quick", tick=lambda name: None)


def test_a_kernel_has_one_thread_and_nobodys_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    found = environment(tmp_path)
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["IPYTHONDIR"] == str(tmp_path / "ipython")
    assert "JPY_PARENT_PID" not in found


def test_sockets_have_short_paths_wherever_temporary_files_are_kept(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * LONGEST_FOLDER)
    deep.mkdir()
    monkeypatch.setattr("wwc_research.report.kernels.gettempdir", lambda: str(deep))
    with short_folder() as folder:
        assert len(str(folder / "k9999-5")) < 104
    assert not folder.exists()


@pytest.mark.notebook
def test_plain_papermill_runs_what_the_engine_prepares_alike(tmp_path):
    """The same cells with the same outputs: who prefers papermill's own command gets the same notebook."""
    template = notebook(tmp_path, "print(word)\nword * 2")
    item = work(tmp_path, template, word="ab")
    engine.render_one(item)
    papermill.execute_notebook(template, tmp_path / "p.ipynb", parameters={"word": "ab"}, progress_bar=False)
    ours, theirs = (nbformat.read(path, as_version=4) for path in (item.executed, tmp_path / "p.ipynb"))
    assert [(cell.source, cell.outputs) for cell in ours.cells] == [(c.source, c.outputs) for c in theirs.cells]
    assert [cell.metadata.tags for cell in ours.cells] == [cell.metadata.tags for cell in theirs.cells]
    assert set(ours.metadata.papermill) <= set(theirs.metadata.papermill)


@linux
@pytest.mark.notebook
def test_where_forking_is_not_safe_it_is_refused_or_not_done(tmp_path, monkeypatch):
    """A module that starts a thread when it is imported: the warm process must not fork."""
    lines = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    (tmp_path / "starts_a_thread.py").write_text(lines, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    template = notebook(tmp_path, "import starts_a_thread\nprint(word)")
    works = [work(tmp_path, template, name=name) for name in "abc"]
    with pytest.raises(ReportError, match="runs threads; use the portable engine"):
        engine.render(works, jobs=2, kind="fork", tick=lambda name: None)
    assert rendered(works, kind="auto") == {}
    assert all(item.target.exists() for item in works)
