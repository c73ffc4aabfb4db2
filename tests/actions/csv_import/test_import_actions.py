"""manage.py import_actions: bulk import of CSV files."""

import fcntl
import io
import os
import subprocess
import sys
import termios
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from subprocess import PIPE
from typing import Any, TextIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from actions.csv_import.derived_event_ids import NAMESPACE
from actions.models import OutboxMessage, UserAction
from ccweb.api.event_ids import MAX_UUID, NIL_UUID
from ccweb.events.erasure import mark_erased
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db
CDNOW = Path(__file__).parents[2] / "data/cdnow.csv"
AS_CDNOW = ("--user-column=customer_id", "--time-column=date", "--value-column=amount", "--action-type=purchase")
Write = Callable[..., Path]
HEADER = "user_id,action_timestamp,value,action_type\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "actions.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def load(file: Path, *options: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_actions", str(file), *options, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def error_of(file: Path, *options: str) -> str:
    with pytest.raises(CommandError) as error:
        load(file, *options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_whole_cdnow_file_is_loaded_once_however_often_it_is_imported() -> None:
    assert load(CDNOW, *AS_CDNOW) == ("import_actions: 69659 lines read, 69659 stored, 0 already there, 0 bad", "")
    assert load(CDNOW, *AS_CDNOW) == ("import_actions: 69659 lines read, 0 stored, 69659 already there, 0 bad", "")
    assert UserAction.objects.count() == 69_659
    assert sum(UserAction.objects.values_list("value", flat=True)) == Decimal("2500315.63")
    assert UserAction.objects.values("user_id").distinct().count() == 23_570
    assert OutboxMessage.objects.count() == 0


def test_the_default_columns_have_the_names_of_the_api(write: Write) -> None:
    given = "0190b7a4-2f6c-7000-8000-00000000000A"
    file = write(
        f"action_type,value,event_id,user_id,action_timestamp\nbet,2.5,{given},9223372036854775807,2026-01-02\n"
    )
    assert load(file) == ("import_actions: 1 lines read, 1 stored, 0 already there, 0 bad", "")
    action = UserAction.objects.get()
    assert (action.event_id, action.user_id, action.action_type) == (uuid.UUID(given), 2**63 - 1, "bet")
    assert (action.value, action.action_timestamp) == (Decimal("2.50"), datetime(2026, 1, 2, tzinfo=UTC))
    assert abs(action.received_at - timezone.now()) < timedelta(minutes=1)


def test_lines_are_stored_in_the_order_of_the_file(write: Write) -> None:
    load(write(HEADER + "".join(f"{user},2026-01-02,1,bet\n" for user in (5, 3, 9, 1))))
    assert list(UserAction.objects.order_by("id").values_list("user_id", flat=True)) == [5, 3, 9, 1]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:30", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31 12:30:05", datetime(2026, 1, 31, 12, 30, 5, tzinfo=UTC)),
        ("2026-01-31T12:30:05.123456Z", datetime(2026, 1, 31, 12, 30, 5, 123456, tzinfo=UTC)),
        ("2026-01-31 12:30:05+02", datetime(2026, 1, 31, 10, 30, 5, tzinfo=UTC)),
        ("2026-01-31T00:30:00+05:30", datetime(2026, 1, 30, 19, 0, tzinfo=UTC)),
        ("1970-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_bare_date_is_midnight_and_a_time_without_zone_is_utc(write: Write, text: str, instant: datetime) -> None:
    load(write(f"{HEADER}7,{text},1,bet\n"))
    assert UserAction.objects.get().action_timestamp == instant


def test_an_event_id_is_the_uuidv5_of_the_content_and_its_number_among_equal_lines(write: Write) -> None:
    load(write(HEADER + "7,2026-01-31,2.5,bet\n07,2026-01-31T00:00:00Z,2.50,bet\n"))
    names = [f"7|2026-01-31T00:00:00.000000Z|2.50|bet|{n}" for n in (0, 1)]
    found = UserAction.objects.order_by("id").values_list("event_id", flat=True)
    assert list(found) == [uuid.uuid5(NAMESPACE, name) for name in names]


def test_equal_lines_are_different_actions_and_overlapping_files_agree(write: Write) -> None:
    first = HEADER + "7,2026-01-31,5,bet\n7,2026-01-31,5,bet\n8,2026-01-31,5,bet\n"
    second = HEADER + "9,2026-02-01,5,bet\n7,2026-01-31,5,bet\n7,2026-01-31,5,bet\n7,2026-01-31,5,bet\n"
    load(write(first))
    assert load(write(second))[0].endswith("4 lines read, 2 stored, 2 already there, 0 bad")
    assert sorted(UserAction.objects.values_list("user_id", flat=True)) == [7, 7, 7, 8, 9]


def test_equal_lines_far_apart_get_different_event_ids(write: Write) -> None:
    between = "".join(f"{user},2026-01-31,5,bet\n" for user in range(100, 45_000))
    file = write(HEADER + "7,2026-01-31,5,bet\n" + between + "7,2026-01-31,5,bet\n")
    assert load(file)[0].endswith("44902 lines read, 44902 stored, 0 already there, 0 bad")
    assert UserAction.objects.filter(user_id=7).count() == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x,2026-01-31,1,bet", "user 'x' is not a whole number"),
        ("0,2026-01-31,1,bet", "user '0' is not"),
        ("-7,2026-01-31,1,bet", "user '-7' is not"),
        ("7.0,2026-01-31,1,bet", "user '7.0' is not"),
        ("9223372036854775808,2026-01-31,1,bet", "user '9223372036854775808' is not"),
        (",2026-01-31,1,bet", "user '' is not"),
        ("7,2026-02-30,1,bet", "time '2026-02-30' is not an ISO 8601 date"),
        ("7,31.01.2026,1,bet", "time '31.01.2026' is not an ISO 8601 date"),
        ("7,,1,bet", "time '' is not an ISO 8601 date"),
        ("7,2026-01-31T01:00+05:75,1,bet", "time '2026-01-31T01:00+05:75' is not an ISO 8601 date"),
        ("7,2026-01-31 24:00,1,bet", "time '2026-01-31 24:00' is not an ISO 8601 date"),
        ("7,2026-01-31 12:00:60,1,bet", "time '2026-01-31 12:00:60' is not an ISO 8601 date"),
        ("7,0001-01-01T00:00+01,1,bet", "time '0001-01-01T00:00+01' is not an ISO 8601 date"),
        ("7,2999-01-01,1,bet", "time '2999-01-01' is in the future"),
        ("7,2026-01-31,1.005,bet", "value '1.005' is not a number"),
        ("7,2026-01-31,1e3,bet", "value '1e3' is not a number"),
        ("7,2026-01-31,NaN,bet", "value 'NaN' is not a number"),
        ("7,2026-01-31,10000000000,bet", "value '10000000000' is not a number"),
        ("7,2026-01-31,1,2bet", "action_type '2bet' is not a letter"),
        (f"7,2026-01-31,1,{'b' * 65}", "is not a letter"),
        ("7,2026-01-31,1,", "action_type '' is not"),
        ("7,2026-01-31,1", "3 cells where the header has 4"),
        ("7,2026-01-31,1,bet,2", "5 cells where the header has 4"),
        ('7,2026-01-31,1,"bet"x', "',' expected after '\"'"),
        ('7,2026-01-31,1,"bet', "unexpected end of data"),
        (b"7,2026-01-31,1,b\xffet", "action_type 'b\\udcffet' is not"),
        (b"7,2026-01-31,1,b\0et", "action_type 'b\\x00et' is not"),
    ],
)
def test_a_bad_line_is_named_by_number_and_left_out(write: Write, line: str | bytes, why: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    out, err = load(write(HEADER.encode() + b"1,2026-01-31,1,bet\n\n" + raw + b"\n"))
    assert out == "import_actions: 2 lines read, 1 stored, 0 already there, 1 bad"
    assert err.startswith("line 4: ")
    assert why in err
    assert list(UserAction.objects.values_list("user_id", flat=True)) == [1]


def test_a_bad_row_with_line_breaks_in_quotes_names_all_its_lines(write: Write) -> None:
    out, err = load(write(HEADER + '1,2026-01-31,1,"bet\n2,2026-01-31,1,bet"\n3,2026-01-31,1,bet\n'))
    assert (out, err.split(":")[0]) == (
        "import_actions: 2 lines read, 1 stored, 0 already there, 1 bad",
        "lines 2 to 3",
    )


def test_only_the_first_thousand_bad_lines_are_shown(write: Write) -> None:
    out, err = load(write(HEADER + "1,2026-01-31,1,bet\n" + "x,2026-01-31,1,bet\n" * 1_500))
    assert out.endswith("1501 lines read, 1 stored, 0 already there, 1500 bad")
    assert len(err.splitlines()) == 1_001
    assert err.endswith("further bad lines are counted, not shown")


def test_an_empty_value_cell_and_a_missing_value_column_are_zero(write: Write) -> None:
    load(write(HEADER + "7,2026-01-31,,bet\n"))
    load(write("user_id,action_timestamp\n8,2026-01-31\n", "other.csv"), "--action-type", "login")
    assert list(UserAction.objects.order_by("id").values_list("value", "action_type")) == [
        (Decimal("0.00"), "bet"),
        (Decimal("0.00"), "login"),
    ]


def test_a_byte_order_mark_blanks_and_windows_lines_are_tolerated(write: Write) -> None:
    file = write(b"\xef\xbb\xbfuser_id, action_timestamp, value, action_type\r\n 7, 2026-01-31, -2.5, bet\r\n\r\n")
    assert load(file) == ("import_actions: 1 lines read, 1 stored, 0 already there, 0 bad", "")
    assert UserAction.objects.get().value == Decimal("-2.50")


def test_a_stored_event_id_with_other_content_is_a_bad_line(write: Write) -> None:
    header = HEADER.strip() + ",event_id\n"
    event_id = uuid.uuid4()
    load(write(f"{header}7,2026-01-31,1,bet,{event_id}\n"))
    out, err = load(write(f"{header}8,2026-01-31,1,bet,{event_id}\n7,2026-01-31,1.00,bet,{event_id}\n"))
    assert out == "import_actions: 2 lines read, 0 stored, 1 already there, 1 bad"
    assert err == "line 2: another action with this event_id is stored"


@pytest.mark.parametrize("event_id", [NIL_UUID, str(MAX_UUID).upper()])
def test_an_event_id_that_a_client_did_not_set_makes_a_bad_line(write: Write, event_id: object) -> None:
    line = f"7,2026-01-31,1,bet,{event_id}\n"
    out, err = load(write(f"{HEADER.strip()},event_id\n1,2026-01-31,1,bet,\n{line}{line}"))
    assert out == "import_actions: 3 lines read, 1 stored, 0 already there, 2 bad"
    assert "identifies no event" in err


@pytest.mark.parametrize("options", [(), ("--publish",)])
def test_actions_of_erased_users_are_left_out_and_counted(write: Write, options: tuple[str, ...]) -> None:
    mark_erased(7)
    out, err = load(write(HEADER + "7,2026-01-31,1,bet\n8,2026-01-31,1,bet\n"), *options)
    assert out == "import_actions: 2 lines read, 1 stored, 0 already there, 0 bad, 1 of erased users left out"
    assert err == ""
    assert list(UserAction.objects.values_list("user_id", flat=True)) == [8]


def test_publish_queues_what_is_new_and_nothing_else(write: Write) -> None:
    load(write(HEADER + "7,2026-01-31,1,bet\n"))
    file = write(HEADER + "7,2026-01-31,1,bet\n8,2026-01-31,2,bet\n")
    assert load(file, "--publish")[0] == "import_actions: 2 lines read, 1 stored, 1 already there, 0 bad"
    message = OutboxMessage.objects.get()
    assert message.key == "8"
    assert message.headers["event_id"] == str(UserAction.objects.get(user_id=8).event_id)
    load(file, "--publish")
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        ("", (), "it is empty; a header line is expected"),
        ("user,when\n7,2026-01-31\n", (), "it has no column 'user_id'; it has 'user, when'"),
        ("user_id;value\n", (), "it has no column 'user_id'; it has 'user_id;value'"),
        ("user_id,action_timestamp,value\n", (), "it has no column 'action_type' (or use --action-type NAME)"),
        (HEADER, ("--value-column", "amount"), "it has no column 'amount'"),
        ("user_id,user_id,action_timestamp,action_type\n", (), "it has the column 'user_id' more than once"),
        ("user_id,action_timestamp\n".encode("utf-16"), (), "it is not UTF-8 text"),
        (HEADER, ("--action-type", "not a name"), "--action-type: action_type 'not a name' is not a letter"),
        (HEADER + "x,y,z,bet\n", (), "no line of"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    write: Write, content: str | bytes, options: tuple[str, ...], why: str
) -> None:
    assert why in error_of(write(content), *options)
    assert not UserAction.objects.exists()


def test_a_missing_file_and_a_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    assert error_of(tmp_path / "no.csv") == f"cannot import {tmp_path}/no.csv: No such file or directory"
    assert error_of(tmp_path) == f"cannot import {tmp_path}: Is a directory"


def test_a_file_with_only_a_header_imports_nothing(write: Write) -> None:
    assert load(write(HEADER)) == ("import_actions: 0 lines read, 0 stored, 0 already there, 0 bad", "")


def test_an_interrupted_import_reports_what_is_committed_and_a_rerun_completes_it(tmp_path: Path) -> None:
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True)
    lines = [HEADER, *(f"{user},2026-01-31,5,bet\n" for user in range(1, 21_001))]
    pipe, whole = tmp_path / "pipe", tmp_path / "whole.csv"
    whole.write_text("".join(lines))
    os.mkfifo(pipe)
    command = [*manage, "import_actions", str(pipe)]
    process = subprocess.Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True)
    with process, pipe.open("w") as end:
        end.writelines(lines)
        end.flush()
        wait_for(lambda: is_drained(end), "the command to read on after the first batch")
        process.terminate()
        out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert (
        "the import was interrupted, committed at least: 20000 lines read, 20000 stored, 0 already there, 0 bad." in err
    )
    done = subprocess.run([*manage, "import_actions", str(whole)], env=environment, capture_output=True, text=True)
    assert done.stdout == "import_actions: 21000 lines read, 1000 stored, 20000 already there, 0 bad\n"


def is_drained(pipe: TextIO) -> bool:
    return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4)


def orders() -> list[str | None]:
    return list(UserAction.objects.order_by("id").values_list("order_id", flat=True))


@pytest.mark.parametrize("publish", [[], ["--publish"]])
def test_a_column_of_orders_is_stored_and_an_empty_cell_is_none(write: Write, publish: list[str]) -> None:
    lines = "7,2026-11-01,5.00,BUY,A-1\n7,2026-11-01,6.00,BUY,A\\1\n7,2026-11-01,7.00,BUY,\n"
    file = write(HEADER.strip() + ",basket\n" + lines)
    assert "3 stored" in load(file, "--order-column=basket", *publish)[0]
    assert orders() == ["A-1", "A\\1", None]
    assert "0 stored, 3 already there, 0 bad" in load(file, "--order-column=basket", *publish)[0]


@pytest.mark.parametrize("publish", [[], ["--publish"]])
def test_another_order_of_a_stored_line_is_a_conflict_and_no_order_is_not(write: Write, publish: list[str]) -> None:
    header = HEADER.strip() + ",order_id\n"
    load(write(header + "7,2026-11-01,5.00,BUY,A-1\n"), *publish)
    out, err = load(write(header + "7,2026-11-01,5.00,BUY,A-2\n8,2026-11-01,5.00,BUY,A-2\n"), *publish)
    assert "1 stored, 0 already there, 1 bad" in out
    assert "line 2: another action with this event_id is stored" in err
    assert "0 stored, 1 already there, 0 bad" in load(write(HEADER + "7,2026-11-01,5.00,BUY\n"), *publish)[0]
    assert orders() == ["A-1", "A-2"]


def test_an_order_that_no_one_can_read_is_a_bad_line(write: Write) -> None:
    _, err = load(write(HEADER.strip() + f",order_id\n7,2026-11-01,5,BUY,{'x' * 65}\n7,2026-11-01,6,BUY,ok\n"))
    assert "line 2: order_id" in err
    assert orders() == ["ok"]


def test_times_without_a_zone_are_those_of_the_shop(write: Write, settings: Any) -> None:
    settings.SHOP_TIME_ZONE = "Europe/Berlin"
    load(write(HEADER + "7,2026-07-01,5.00,BUY\n7,2026-01-01 10:00,5.00,BUY\n7,2026-01-01T10:00Z,5.00,BUY\n"))
    found = UserAction.objects.order_by("id").values_list("action_timestamp", flat=True)
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in found] == ["2026-06-30T22:00", "2026-01-01T09:00", "2026-01-01T10:00"]
