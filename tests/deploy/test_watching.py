"""deploy/alerts.yml and deploy/grafana.json: valid, explained, and about metrics that a running system has."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ccweb.server.process_endpoint import STUCK_AFTER_SECONDS, listen
from tests.support import programs
from tests.support.deployment import ROOT, Stack, call
from tests.support.os_processes import free_port, wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import need

(GROUP,) = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
ALERTS = GROUP["rules"]
PANELS = json.loads((ROOT / "deploy/grafana.json").read_text())["panels"]
QUERIES = [target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
NOT_METRICS = re.compile(r'\{[^}]*\}|\[[^]]*\]|"[^"]*"|\b(by|without) \([^)]*\)')
NOT_OURS = {"up"}  # Prometheus's own
DEPLOYMENT_WIDE = ("ccweb_outbox_waiting", "ccweb_relay_leaders", "ccweb_scheduler_leaders")


def promtool(*arguments: str) -> None:
    done = subprocess.run([need(programs.promtool), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def metrics_in(expression: str) -> set[str]:
    """The names in an expression that are neither functions, operators nor labels."""
    names = re.findall(r"\b([a-z_][a-z0-9_]*)\b(?!\s*\()", NOT_METRICS.sub(" ", expression))
    return set(names) - {"and", "or", "unless"} - NOT_OURS


def test_the_rules_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(ROOT / "deploy/alerts.yml"))
    promtool("test", "rules", str(ROOT / "tests/deploy/alerts_test.yml"))


def test_the_panels_queries_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do_and_is_in_the_document(alert: Mapping[str, Any]) -> None:
    assert set(alert["annotations"]) == {"summary", "action", "runbook"}
    document, _, anchor = alert["annotations"]["runbook"].partition("#")
    text = (ROOT / document).read_text()
    assert f"\n## {anchor.capitalize()}\n" in text
    assert f"`{alert['alert']}`" in text
    assert alert["alert"] in (ROOT / "tests/deploy/alerts_test.yml").read_text()


@pytest.fixture
def processes(fresh_database: str, redis_client: redis.Redis) -> Iterator[list[str]]:
    """The addresses of web, relay and scheduler in operation; there is no Kafka."""
    variables = {"RELAY_IN_WEB": "0", "RELEASE": "4f2a9c1"}
    with Stack(
        database_url=fresh_database, redis_url=os.environ["REDIS_URL"], kafka_broker=CLOSED, **variables
    ) as stack:
        ports = [free_port(), free_port()]
        others = [stack.program(n, METRICS_PORT=str(p)) for n, p in zip(("relay", "scheduler"), ports, strict=True)]
        for each in (*others, stack.web):
            need(each.start)
        stack.call("POST", "/api/actions", {"user_id": 7, "action_type": "login"})
        addresses = [stack.web.address, *(f"127.0.0.1:{port}" for port in ports)]
        wait_for(lambda: "ccweb_rfm_last_success_timestamp_seconds" in scraped(addresses[:1]), "the first run")
        yield addresses


def scraped(addresses: list[str]) -> dict[str, str]:
    """The help texts of all metrics, by the names of their samples."""
    found: dict[str, str] = {}
    for address in addresses:
        answer = call(address, "GET", "/metrics")
        assert answer.status == 200
        for family in text_string_to_metric_families(answer.body.decode()):
            found |= {family.name + suffix: family.documentation for suffix in SUFFIXES.get(family.type, ())}
            found |= {sample.name: family.documentation for sample in family.samples}
    return found


@pytest.mark.stack
def test_every_metric_of_a_rule_or_panel_is_one_of_a_running_system(processes: list[str]) -> None:
    used = set[str]().union(*(metrics_in(query) for query in [*QUERIES, *(alert["expr"] for alert in ALERTS)]))
    assert {"ccweb_database_up", "ccweb_request_seconds_bucket", "process_cpu_seconds_total"} <= used
    found = scraped(processes)
    assert used - found.keys() == set()
    assert [name for name in DEPLOYMENT_WIDE if "read it by max()" not in found[name]] == []
    for address in processes:
        text = call(address, "GET", "/metrics").body.decode()
        assert 'ccweb_build_info{revision="4f2a9c1",version="0.1.0"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert call(address, "GET", "/healthz").json()["status"] == "ok"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_of_compose_is_about_the_answer_of_healthz(status: int, code: int) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert services["relay"]["healthcheck"] == services["scheduler"]["healthcheck"]
    port = services["relay"]["environment"]["METRICS_PORT"]
    stuck_for = 0 if status == HTTPStatus.OK else STUCK_AFTER_SECONDS + 1
    with listen("127.0.0.1", 0, lambda: time.monotonic() - stuck_for) as endpoint:
        _, _, *command = services["relay"]["healthcheck"]["test"]
        command = [part.replace(port, str(endpoint.server_port)) for part in command]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        endpoint.shutdown()
    assert done.returncode == code, done.stderr
    assert ("503" in done.stderr) is (status == HTTPStatus.SERVICE_UNAVAILABLE)
