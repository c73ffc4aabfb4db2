"""Rules that a person could forget: who imports whom, and that nothing lacks its test, migration or description."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).parents[1]
APPS = ("actions", "segments", "visits")
LIBRARIES = ("ccweb.request", "ccweb.redis", "ccweb.db", "ccweb.api", "ccweb.events", "ccweb.admin", "ccweb.server")
# What each may import of ours besides itself; ccweb is the composition root and may import everything.
ALLOWED = {
    "actions": {*LIBRARIES},
    "visits": {*LIBRARIES},
    "segments": {*LIBRARIES, "actions"},
    "ccweb.server": {"ccweb.api", "ccweb.db", "ccweb.redis", "ccweb.request"},
    "ccweb.admin": {"ccweb.api", "ccweb.db", "ccweb.redis", "ccweb.request"},
    "ccweb.events": {"ccweb.api", "ccweb.db", "ccweb.redis", "ccweb.request"},
    "ccweb.api": {"ccweb.db", "ccweb.redis", "ccweb.request"},
    "ccweb.db": {"ccweb.request"},
    "ccweb.redis": set(),
    "ccweb.request": set(),
}
# Within an app, downwards only: a module may import what stands to the right of it, or its like in the middle.
LAYERS = ("models", "", "serializers", "views", "urls")  # "" are the deeds: recording, rfm, ...
ENTRANCES = ("admin", "management", "apps", "fast_path")  # call what the views call
ONLY = {
    "confluent_kafka": {"actions/kafka/", "ccweb/embedded/broker.py"},
    "redis": {"ccweb/redis/circuit_breaker.py", "ccweb/redis/client.py", "segments/streaks", "ccweb/settings.py"},
    "django_redis": {"ccweb/health.py"},
    "apscheduler": {"segments/scheduling.py"},
}
LONGEST_FILE, LONGEST_FUNCTION = 250, 40


def sources(*folders: str) -> list[Path]:
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts
    ]


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules, and for `from x import y` also x.y, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name: str) -> str | None:
    """Which of our parts a module belongs to: an app, a library or ccweb; None when it is not ours."""
    for library in LIBRARIES:
        if name == library or name.startswith(f"{library}."):
            return library
    top = name.partition(".")[0]
    return top if top in (*APPS, "ccweb") else None


def layer(name: str) -> int:
    second = name.split(".")[1] if "." in name else ""
    return LAYERS.index(second) if second in LAYERS else LAYERS.index("")


def is_arithmetic(name: str) -> bool:
    """Whether a module knows no models: then they may ask it."""
    *folder, last = name.split(".")
    path = ROOT.joinpath(*folder, f"{last}.py")
    if not path.exists():
        return bool(folder) and is_arithmetic(".".join(folder))  # the last part is a name in the module
    return "models" not in (*folder, last) and all(part(i) is None or is_arithmetic(i) for i in imports(path))


CODE = sources("ccweb", *APPS)


@pytest.mark.parametrize("path", CODE, ids=module)
def test_arrows_between_the_parts_point_one_way(path: Path) -> None:
    own = part(module(path))
    if own == "ccweb":
        return
    foreign = {found for found in map(part, imports(path)) if found and found != own}
    assert foreign <= ALLOWED[own], f"{module(path)} imports {foreign - ALLOWED[own]}"


@pytest.mark.parametrize("path", sources(*APPS), ids=module)
def test_within_an_app_arrows_point_from_urls_to_models(path: Path) -> None:
    name = module(path)
    app, _, rest = name.partition(".")
    if rest.partition(".")[0] in ENTRANCES:
        return
    for imported in imports(path):
        if imported.partition(".")[0] == app:
            assert imported.split(".")[1] not in ENTRANCES, f"{name} imports {imported}"
            assert layer(imported) <= layer(name) or is_arithmetic(imported), f"{name} imports {imported}"


@pytest.mark.parametrize("library", ONLY)
def test_a_library_with_an_owner_is_imported_by_its_owner_only(library: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if any(i.split(".")[0] == library for i in imports(path))}
    strangers = {user for user in users if not any(user.startswith(owner) for owner in ONLY[library])}
    assert not strangers


def test_every_command_has_a_test() -> None:
    tests = "".join(path.read_text() for path in sources("tests"))
    commands = {path.stem for path in CODE if path.parent.name == "commands" and path.stem != "__init__"}
    assert commands
    assert {name for name in commands if not re.search(rf"\b{name}\b", tests)} == set()


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("document", ["README.md", ".env.example"])
def test_every_variable_that_the_settings_read_is_described(document: str) -> None:
    settings = ast.parse((ROOT / "ccweb/settings.py").read_text())
    calls = (node for node in ast.walk(settings) if isinstance(node, ast.Call))
    of_env = (call for call in calls if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "env")
    read = {call.args[0].value for call in of_env if isinstance(call.args[0], ast.Constant)}
    assert {"SECRET_KEY", "THROTTLE_KEY"} <= read
    described = set(re.findall(r"\b[A-Z][A-Z_]+\b", (ROOT / document).read_text()))
    assert read <= described, f"{document} lacks {read - described}"


def test_the_example_names_no_variable_that_nobody_reads() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    code = "".join(path.read_text() for path in CODE)
    assert [name for name in named if f'"{name}"' not in code] == []


def test_files_and_functions_stay_short() -> None:
    for path in CODE:
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"
