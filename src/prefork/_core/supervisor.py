"""The supervisor of a `Daemon`: the wanted workers beside the actual ones, and the orders that close the gap.

The contract with the shell
===========================

The *shell* is the master loop with the molds, the processes and the sockets. It tells the supervisor facts,
one `handle` at a time, and carries out the answered actions in their order. It decides nothing. Its part of
the bargain:

Beginning and end
    `Started` comes first, once. After `Exit(status)` the shell leaves the loop; before it goes it ends
    every stranger that it adopted. `Exit` is answered only when every process that the supervisor knows of
    has ended; on a failed start the report of the application is the last `Report` before it.

Molds
    `StartMold(g)` is owed exactly one of `MoldPlanned(g, plan)` or `MoldFailed(g, report)`, or neither, and
    in every case, sooner or later, one `MoldEnded(g, reason)`. A mold that cannot be started at all is
    `MoldFailed` and then `MoldEnded`. `MoldEnded` comes last of all that is said of that mold: when it has
    been reaped *and* its socket was read to the end, so that births queued before its death were told
    before it; births that would come later are refused by the shell. A mold may be started again under the
    same number (after `MoldEnded`, never before); only its predecessor's plan counts then. `PlanAgain(g)`
    is owed `MoldPlanned(g, plan)` or `PlanFailed(g, report)`, or `MoldEnded(g)`. `EndMold(g)` is owed
    `MoldEnded(g)` within moments: the shell kills. It may come for a mold that is already dying. The
    encoded contexts of every plan that a mold sent are kept by (key, digest) until `ForgetGeneration(g)`:
    orders name them.

Births
    `Breed(g, n)` is owed n answers in all: each a `SpareBorn(g, pid)` (adopted by the master, watched, and
    waiting for its order) or counted in a `BirthFailed(g, count, reason)`; or `MoldEnded(g)`, which settles
    what is still owed. There is at most one unanswered `Breed` for a mold; what is needed meanwhile is in
    the next. `DismissSpare(pid)` closes the spare's channel, on which it exits; owed `WorkerEnded(pid)`.
    The supervisor kills what stays.

Workers
    `OrderWorker(pid, ...)` turns a spare into the worker of a slot. `SpawnWorker(g, key, ...)` is owed one
    of `WorkerSpawned(g, key, pid)`, `SpawnFailed(g, key, reason)`. Then `WorkerReady(pid)` at most once is
    enough, and `WorkerFailed(pid, report)` where the application told why it is going. An order that cannot
    be delivered is no fact of its own: the spare is dead or dying, and `WorkerEnded` says so; one that is
    never taken up meets the start timeout. `AskToDrain(pid)` and `KillWorker(pid, why)` are owed
    `WorkerEnded(pid)` (a drain may take until the drain timeout, and then the supervisor kills). The shell
    kills the whole session of a worker before it reaps the leader, and reaps each pid once.
    `WorkerEnded(pid, status, reason)` is said of spares and workers alike, after all else that the process
    had said. `reason` is in words ("exited 3", "killed by SIGSEGV", "killed by us after 30 s of draining").
    Facts about a pid that the supervisor does not know are ignored: strangers are the shell's to name and
    to end. A `SpareBorn` or `WorkerSpawned` that it did not ask for is answered by ending that process.

Listeners
    `Bind(g, listeners)` names only listeners that are not open yet; owed `ListenersBound(g)`, or
    `BindFailed(g, report)` with none of them left open. An order gives the worker exactly the listeners
    that it names. `Unbind(listeners)` closes them. Two records with one address (an option was changed) are
    both open for a while: the shell lets them share the socket.

People
    `CommandReceived(id, command)` gets exactly one `Reply(id, ok, text)`, when the *outcome* is known.
    Whoever hung up is the shell's concern. `Report(text)` is one block for the log: the shell prints it as
    it is, and prints the `report` of a fact only there. `SignalReceived`: HUP, TERM, INT, QUIT, USR1, USR2,
    TTIN, TTOU; others are ignored.

Time
    `now` never goes back. `next_deadline()` is asked after every `handle`; when it has come,
    `DeadlinePassed`. Too early or twice does no harm. Facts that come late, twice, or about what is gone do
    no harm either.

`ProcessesExited`, `ContextTaken`, `ContextRefused`, `Watch` and `SendSignal` belong to the hooks interface:
the shell of a `Daemon` turns the exits it reaps into `WorkerEnded` and `MoldEnded`, and watches on its own
account whatever it starts or adopts. `snapshot()` is plain data with a version; `Supervisor.restore(data,
spec)` goes on from it. `view()` is the state for people.
"""
