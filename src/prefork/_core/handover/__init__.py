"""Another program goes on with this daemon: an upgrade in place, and the adoption of a killed master's workers.

The contract with the executor, besides that at the head of `supervisor.py`
============================================================================

Snapshot
    `Supervisor.snapshot()` is plain data, whole between two events. `kept.snapshot.Snapshot` holds it with the writer's
    versions and the shell's own `sections`; `to_bytes` and `from_bytes` write and read it. The sections have what the
    core does not know, and among it the encoded contexts of each mold's plans that orders may still name.
    `MalformedSnapshot` is the only exception of `from_bytes`, `Supervisor.restore` and `Supervisor.adopting`; its text
    is the reason, in words.

Upgrade
    `ReplaceProgram(asker)` is answered once: by `UpgradeFailed(asker, why)` in this program, or by `Upgraded(...)` in
    the next one, which has restored a snapshot that was taken after `ReplaceProgram`. `asker` is 0 when a signal has
    requested it. Events are passed on between the order and the exec, and their actions are carried out: the snapshot
    is taken last. No other client waits for a `Reply` then. `CancelUpgrade` takes the order back: no exec follows, and
    no answer. A new program that cannot go on executes the old one again, which restores the same snapshot and begins
    with `UpgradeFailed(asker, why, away)`.

    The new program: `Supervisor.restore(state, spec)`, then `Started` (which changes nothing), then `Upgraded`, before
    any other event. Births that were under way are answered by the new program, as by the old one. With `other_python`
    the supervisor dismisses each spare, ends each mold and starts it again, and begins a reload; `EndMold`,
    `DismissSpare`, `AskToDrain` and `KillWorker` must work for processes of the other version, orders need not.

Adoption
    `Supervisor.adopting(state, spec)` from the last snapshot of a dead master, then `OrphansFound` for the workers that
    cannot be adopted, if there are any, `Started`, and `Survived(survivors)` before any other event. The listeners of
    `Supervisor.listeners` are open by then. Molds, spares and all that is neither named there nor by `OrphansFound`
    have ended: most of all workers that must never run twice, which the kernel kills with their master.
    `Survived` is answered by `AdoptWorker(pid, ...)` for each that is adopted; from then on it is a worker as any
    other, of which `WorkerEnded` comes from its pidfd. The facts that it had told the dead master come again:
    `WorkerReady` and `WorkerWornOut`. One that is not adopted is an orphan: `DrainOrphan(pid)` or `KillOrphan(pid)`
    follow, at once or later, and `OrphanEnded(pid)` is due. `ForgetGeneration`, `ForgetContexts`, `ForgetSlot` and
    `Unbind` may name what this master never had.

    Then the generation is imported again, and a replan applies its plan: orders before that name contexts of the
    sections.
"""
