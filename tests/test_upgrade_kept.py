"""What an upgrade passes of each part of a master: no attribute of one may be forgotten."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import prefork

ROOT = Path(prefork.__file__).parent

PARTS = {
    ("_master/births/processes.py", "Processes"): ("_roles _stopped channels killed", "_master _roster _with"),
    ("_master/births/channels.py", "ProcessChannels"): ("_molds _processes", "_epoll _is_new _peers"),
    ("_master/channels/peers.py", "MoldPeer"): ("batches channel generation memory pid planned unborn", ""),
    ("_master/channels/peers.py", "Batch"): ("ended failed newborns reason", ""),
    ("_master/channels/peers.py", "NewbornPeer"): ("batch channel pid", "mold"),
    ("_master/channels/peers.py", "WorkerPeer"): ("channel pid reports", ""),
    ("_master/channels/end.py", "MasterEnd"): ("", "_refused _room"),
    ("_master/scoreboard/board.py", "Board"): (
        "_changes _dead _ended _errors _groups _pids _requests _rows _slots descriptor",
        "_board _words _comparison",
    ),
    ("_master/scoreboard/dead.py", "Dead"): ("_all _generations", "_board"),
    ("_master/scoreboard/dead.py", "_Total"): ("_counts _sums number", ""),
    ("_master/hangs/watch.py", "Hangs"): (
        "_detector _stopped _workers imports",
        "_asleep _board _due _explained _master _note _samples dumps woken",
    ),
    ("_master/hangs/dumps.py", "Dumps"): ("", "_board _current _master _queue descriptor readers"),
    ("_master/hangs/imports.py", "Imports"): ("_begun", "_dumps _master _noted _processes"),
    ("_core/watch/hang_watch.py", "HangDetector"): ("periods starved stuck", "waited watching"),
    ("_master/hangs/crashes.py", "Crashes"): ("_notes", "_due _master _next _numbers _queue _runtime"),
    ("_master/hangs/evidence/oom.py", "OomCounter"): ("_seen", "_file"),
    ("_master/outside/readers.py", "Readers"): ("", "_interpreter _master _processes waiting"),
    ("_master/outside/profiles.py", "Profiles"): ("", "_interpreter _master _processes _running"),
    ("_master/outside/unasked.py", "Unasked"): ("", "_directory _hangs _looks _master _profiles _slowness"),
    ("_master/births/orders.py", "Orders"): ("_assignables _options", "_dependencies _launching _log"),
    ("_master/births/launches.py", "Launching"): (
        "files",
        "addresses fixed given interpreter mold options sources welcome",
    ),
    ("_master/births/options.py", "CodeOptions"): ("", "_distrusted _fixed _flags _named _say _start"),
    ("_master/watching/contents.py", "Files"): ("_planned latest", "_identity paths"),
    ("_master/watching/watchers.py", "Watchers"): ("_code _edits _file _planned", "_master _sources"),
    ("_master/watching/watchers.py", "FileWatcher"): ("_ended _ends _path _since pid", "_end _master _start"),
    ("_master/watching/edits.py", "Edits"): (
        "_generation _importing _outdated _planned_at _row _told _under_way _waits",
        "_master",
    ),
    ("_master/watching/notices.py", "Watch"): ("", "_due _files _master _refused _watched"),
    ("_master/listeners/opened.py", "Listeners"): (
        "_options _orphans_serve _places _records",
        "_found _notices _queues",
    ),
    ("_master/listeners/opened.py", "BindOptions"): ("beside_orphans given", "identity operator orphans_serve"),
    ("_master/listeners/opened.py", "_SingleSocket"): ("_identity _inode _listener _ours _path _socket", "gone"),
    ("_master/listeners/inherited.py", "Given"): ("_names _numbers _used", "_units"),
    ("_master/listeners/port.py", "Port"): (
        "_first _foreign _identity _members _newest orphans_serve",
        "_best _queues _steered",
    ),
    ("_master/listeners/port.py", "Member"): ("abandoned holders key socket use withdrawn", "stalled"),
    ("_master/listeners/queues.py", "Queues"): ("", "_counted _epoll _master _queues _stalled _stalls"),
    ("_master/listeners/names.py", "Names"): ("", "_interpreter _master _processes waiting"),
    ("_master/relay.py", "Relay"): ("_err _out _sources", "_selector form"),
    ("_master/relay.py", "Sink"): (
        "_announced _descriptor _lost _waiting sources",
        "_lost_notice _poller _registered _selector _was_full",
    ),
    ("_master/relay.py", "Source"): ("_descriptor _lines _mark", "_reading _selector _sink"),
    ("_master/relay.py", "LineBuffer"): ("_rest", ""),
    ("_master/log/capture.py", "Capture"): ("_dead _last", "_relay"),
    ("_master/log/log.py", "Log"): ("_folding _options", "_awaited _backs_off _ends _master _notes _pending _timer"),
    ("_report/folding.py", "Folding"): ("_runs", "_burst"),
    ("_master/control/server.py", "Control"): (
        "_connections _grants _group _listener _place",
        "_epoll _master _of_members _replies _view",
    ),
    ("_master/control/connection.py", "Connection"): (
        (
            "closing follows incoming lost member outgoing passes pid pieces readable reader refuses socket uid "
            "waits_for watches"
        ),
        "events",
    ),
    ("_master/control/replies.py", "Replies"): ("_commands _waiting", ""),
    ("_report/journal.py", "Journal"): ("kept limit number recent report slots tally workers", ""),
    ("_master/runtime/presence.py", "Runtime"): ("_claim roster", " moved"),
    ("_master/runtime/presence.py", "Presence"): ("", "_closed _control _due _failed _lock _master _watched"),
    ("_master/identity/lock.py", "Lock"): ("descriptor path", "FILES _daemon"),
    ("_master/identity/claim.py", "Claim"): ("_sockets", "_daemon _log"),
    ("_master/runtime/roster.py", "Roster"): (
        "_descriptor _free _places _size _survivors lifeline",
        "_log _map _realm _found",
    ),
    ("_master/runtime/orphans.py", "Orphans"): ("_lifelines _survivors", "_master _on_end _pidfds _roster"),
    ("_master/identity/pid_file.py", "PidFile"): ("_descriptor _path", "_foreign"),
    ("_master/service/notify.py", "Manager"): (
        "",
        "_about _master _notices _sender _status _status_is_due",
    ),
    ("_master/service/sender.py", "Sender"): (
        "",
        "_address _error_logged _listening _master _socket _waiting lost",
    ),
    ("_master/store/store.py", "Store"): ("held", "_log _most _removed _sender _told"),
    ("_report/notices.py", "Notices"): ("ready", "_reload _stopping"),
    ("_master/control/admission.py", "Admission"): ("", "_about _control _group _say"),
    ("_master/observers.py", "Headline"): ("", "_about _show _shown"),
    ("_master/observers.py", "Banner"): ("", "_about _address_of _relay _welcome"),
    ("_master/log/farewell.py", "Farewell"): ("", "_about _living _master _stopping"),
    ("_master/grants/grants.py", "Grants"): ("", "_directory _files _shares_user connect"),
    ("_master/deaths.py", "Deaths"): ("_oom", "_keepers _master _processes _receive"),
    ("_master/executor.py", "DaemonExecutor"): (
        "_capture _crashes _deaths _hangs _orders _orphans _processes _shared _watchers board listeners",
        (
            "_channels _leftovers _log _master _names _options _profiles _queues _replies _welcome adopting grants "
            "replacing"
        ),
    ),
    ("_master/passed/shared.py", "Shared"): ("lifeline metrics scoreboard stacks writer", ""),
    ("_master/loop.py", "Master"): (
        "exits relay signals",
        (
            "_decider _events _executor _form _leave_by _observers _on_signal _ordered _status _timers _timers_set "
            "selector"
        ),
    ),
    ("_master/children.py", "ExitWatch"): ("_others _dead", "_leaders _pidfds _selector _signals _without_pidfd"),
    ("_master/children.py", "LeftoverProcesses"): ("", "_ended _exits _hidden"),
    ("_linux/signals.py", "SignalInbox"): (
        "_came _may_lose_terminal",
        "_former _former_mask _former_wakeup _write_end wakeup",
    ),
}
"""A module and its class -> the attributes that an upgrade keeps, and those that the next program makes again: what the
launch says, what another part has, what is asked of the kernel, and what is empty whenever a program is replaced.
"""

FRIENDS = [*(ROOT / "_master/kept").glob("*.py"), *(ROOT / "_master/upgrade").glob("*.py")]
"""The modules that may touch the state of a part."""


def attributes(path: str, name: str) -> set[str]:
    """Return the attributes of a class: fields, and what its methods assign."""
    tree = ast.parse((ROOT / path).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    declared = {
        node.target.id for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assigned = {
        node.attr
        for node in ast.walk(found)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    return declared | assigned


@pytest.mark.parametrize(("path", "name"), PARTS)
def test_each_attribute_is_kept_or_made_again(path: str, name: str) -> None:
    """A new one: have `_master/kept` pass it, if a program that has just begun cannot know it; then list it here."""
    kept, made = (set(words.split()) for words in PARTS[path, name])
    assert not attributes(path, name) - kept - made
    assert not kept & made


def test_what_is_kept_is_named_where_it_is_passed() -> None:
    named = {
        node.attr
        for path in FRIENDS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    named |= {
        "_generation",
        "_importing",
        "_outdated",
        "_planned_at",
        "_row",
        "_told",
        "_under_way",
        "_waits",
    }  # All of Edits, by vars().
    missing = {
        (name, each)
        for (path, name), (kept, _) in PARTS.items()
        for each in attributes(path, name) & set(kept.split()) - named
    }
    assert not missing
