"""Rules that a person could forget: who imports whom, and that nothing lacks its test, migration or description."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from ccweb.api.routes import routes

ROOT = Path(__file__).parents[1]
# Arrows point downwards: a module may import what stands below it, over as many steps as it likes. What stands in one
# line does not import its neighbours. docs/architecture.md says what each part is for.
LIBRARIES = (("server", "events", "admin"), ("api",), ("db",), ("request", "redis"))  # of ccweb; they import no app
APPS = {
    "actions": (
        ("urls", "fast_path", "apps"),
        ("views", "admin", "management"),
        ("serializers", "receivers", "relay", "csv_import", "metrics", "pruning"),
        ("recording", "kafka"),
        ("outbox",),
        ("models", "signals"),
    ),
    "segments": (
        ("urls", "apps"),
        ("views", "admin", "management", "receivers", "metrics"),
        ("serializers",),
        ("schedule", "forecasts", "publishing", "policy_files"),
        ("rfm", "recommendations"),
        ("streaks", "models"),
        ("rules",),
    ),
    "visits": (("urls", "apps"), ("views", "admin"), ("serializers",), ("recording",), ("models",)),
}
ASKS = {"segments": {"actions"}}  # the only arrow between apps
ONLY = {
    "confluent_kafka": {"actions/kafka/", "ccweb/embedded/broker.py"},
    "redis": {"ccweb/redis/", "segments/streaks/", "ccweb/settings.py"},
    "django_redis": {"ccweb/health.py"},
    "apscheduler": {"segments/schedule/"},
}
EXECUTE_WHAT_THEY_READ = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
LONGEST_FILE, LONGEST_FUNCTION = 250, 40
LONGEST_SETTINGS = 350  # one file, to be read from top to bottom


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


def level(part: str, order: tuple[tuple[str, ...], ...]) -> int:
    """How far down a part stands; the test fails for a part that has no place."""
    places = [number for number, parts in enumerate(order) if part in parts]
    assert places, f"{part} has no place among {order}"
    return places[0]


def may_import(importer: str, imported: str, order: tuple[tuple[str, ...], ...]) -> bool:
    return importer == imported or level(importer, order) < level(imported, order)


CODE = sources("ccweb", *APPS)
OF_LIBRARIES = [path for name in sum(LIBRARIES, ()) for path in sources(f"ccweb/{name}")]


@pytest.mark.parametrize("path", OF_LIBRARIES, ids=module)
def test_a_library_imports_no_app_and_only_libraries_below_it(path: Path) -> None:
    library = module(path).split(".")[1]
    for imported in imports(path):
        top, _, rest = imported.partition(".")
        assert top not in APPS, f"{module(path)} imports {imported}"
        if top == "ccweb":
            assert may_import(library, rest.partition(".")[0], LIBRARIES), f"{module(path)} imports {imported}"


@pytest.mark.parametrize("path", sources(*APPS), ids=module)
def test_an_app_imports_libraries_and_what_stands_below_in_itself(path: Path) -> None:
    app, *rest = module(path).split(".")
    for imported in imports(path):
        top, second = (*imported.split("."), "")[:2]
        if top == "ccweb":
            assert second in sum(LIBRARIES, ()), f"{module(path)} imports {imported}"
        elif top == app and rest:
            assert may_import(rest[0], second, APPS[app]), f"{module(path)} imports {imported}"
        elif top in APPS and top != app:
            assert top in ASKS.get(app, set()), f"{module(path)} imports {imported}"


def test_no_two_classes_have_one_name() -> None:
    trees = (ast.parse(path.read_text()) for path in CODE if "management" not in path.parts)
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_routes_are_typed_in_url_configurations_only() -> None:
    starts = {route.partition("<")[0] for route, _ in routes() if not route.startswith("/admin/")}
    paths = starts - {"/", "/api", "/api/"}  # the prefixes are everywhere
    assert {"/api/actions", "/healthz"} <= paths
    for path in CODE:
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        typed = {text.value for text in texts if id(text) not in prose and text.value.startswith(tuple(paths))}
        assert not typed, f"{path}: {typed}"


@pytest.mark.parametrize("library", ONLY)
def test_a_library_with_an_owner_is_imported_by_its_owner_only(library: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if any(i.split(".")[0] == library for i in imports(path))}
    strangers = {user for user in users if not any(user.startswith(owner) for owner in ONLY[library])}
    assert not strangers


def test_nothing_is_pickled() -> None:
    for path in CODE:
        assert not {imported.partition(".")[0] for imported in imports(path)} & EXECUTE_WHAT_THEY_READ, path


def test_every_command_has_a_test() -> None:
    tests = "".join(path.read_text() for path in sources("tests"))
    commands = {path.stem for path in CODE if path.parent.name == "commands" and path.stem != "__init__"}
    assert commands
    assert {name for name in commands if not re.search(rf"\b{name}\b", tests)} == set()


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", ".env.example"])
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


def test_the_tree_in_the_documentation_is_the_one_on_disk() -> None:
    _, tree, _ = (ROOT / "docs/architecture.md").read_text().split("```")
    named: set[Path] = set()
    above = [(-1, ROOT)]  # indentation and folder
    for line in tree.strip().splitlines():
        indent, first = len(line) - len(line.lstrip()), line.split()[0]
        above = [(depth, folder) for depth, folder in above if depth < indent]
        if first.endswith("/"):
            above.append((indent, above[-1][1] / first))
            named.add(above[-1][1])
        named |= {above[-1][1] / name for name in re.findall(r"\w+\.py", line)}
    assert [str(path) for path in named if not path.exists()] == []
    real = {part for path in CODE for part in (path, path.parent) if path.name != "__init__.py"}
    assert {str(part) for part in real - named if part.name != "commands" and part.parent.name != "commands"} == set()


def test_files_and_functions_stay_short() -> None:
    for path in CODE:
        longest = LONGEST_SETTINGS if path.name == "settings.py" else LONGEST_FILE
        assert len(path.read_text().splitlines()) <= longest, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"
