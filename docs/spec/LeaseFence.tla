---------------------------------------- MODULE LeaseFence ----------------------------------------
(* One task, some engine sessions, one host: who may work on the task, who may say that it is  *)
(* done, and what runs on the host meanwhile.                                                  *)
(*                                                                                             *)
(* Time is counted in beats. Leases and silences are kept as what is left of them and how long *)
(* they last, so that the model has no last day. The scheduler and the conductor are one here, *)
(* for a session's row decides whoever asks: HandOver.tla has several schedulers.              *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Sessions,          \* lives of engines; a restarted engine is another one
    Lease,             \* SAVANNA_CONDUCTOR_ENGINE_LEASE_SECONDS
    Fence,             \* policy.py, Policy.fence_share of the lease
    MaxEpoch,          \* so often the task is handed out (bound of the model)
    LostAttempts,      \* policy.py, Policy.lost_attempts
    ClockRunsInPause   \* TRUE: a process is stopped; FALSE: its machine is, with its clock

CONSTANTS              \* The safeguards. Each is TRUE in the code; the broken models lack one.
    SelfFence,         \* an engine that is not heard stops its work
    HeardFromSending,  \* ... and counts from when the acknowledged beat was sent
    AckAfterRenewal,   \* a beat is acknowledged after its renewal is stored
    LooksAfter,        \* somebody asks whether a silent session is over
    RequeueLooks,      \* a task is taken back only from a session that is over
    QuarantineLooks,   \* ... also when it is given up for good
    EpochCheck,        \* a result counts only for the epoch and session that hold the task
    FarSideGuard       \* the host runs one epoch of a command at a time, and never an older one

ASSUME Fence < Lease

VARIABLES
    task,      \* the row: state, epoch, session, lost (attempts)
    lease,     \* what is left of each session's lease by the database's clock; 0: over for ever
    handed,    \* hand-outs that were stored: <<session, epoch>>. Each offer may come late or again.
    mail,      \* of each session: the answer to its beat on its way, with the beat's age
    proc,      \* each session: up, paused, or over because it ended itself or was killed
    unheard,   \* how long each session was not heard, by its own clock
    run,       \* the epoch that each session works on; 0: none
    said,      \* results that were sent: <<session, epoch>>. They come late or again.
    refused,   \* offers that were refused
    calls,     \* what hosts were asked: <<verb, epoch>>. It comes late, again or never.
    host,      \* the far side: epoch that asked last, epoch that counts, commands: live, ended
    stray      \* history: a result was recorded for somebody who did not hold the task

vars == <<task, lease, handed, mail, proc, unheard, run, said, refused, calls, host, stray>>

Epochs == 1..MaxEpoch
Nothing == [kind |-> "none", age |-> 0]
Ages == 0..(Fence + 1)
Older(age) == IF age > Fence THEN age ELSE age + 1

TypeOK ==
    /\ task \in [state: {"pending", "assigned", "succeeded", "failed"}, epoch: 0..MaxEpoch,
                 session: Sessions \cup {"nobody"}, lost: 0..LostAttempts]
    /\ lease \in [Sessions -> 0..Lease]
    /\ handed \in SUBSET (Sessions \X Epochs)
    /\ mail \in [Sessions -> [kind: {"none", "ack", "over"}, age: Ages]]
    /\ proc \in [Sessions -> {"up", "paused", "over"}]
    /\ unheard \in [Sessions -> Ages]
    /\ run \in [Sessions -> 0..MaxEpoch]
    /\ host.live \in SUBSET Epochs

Init ==
    /\ task = [state |-> "pending", epoch |-> 0, session |-> "nobody", lost |-> 0]
    /\ lease = [s \in Sessions |-> Lease]
    /\ stray = FALSE
    /\ handed = {} /\ said = {} /\ refused = {} /\ calls = {}
    /\ mail = [s \in Sessions |-> Nothing]
    /\ proc = [s \in Sessions |-> "up"]
    /\ unheard = [s \in Sessions |-> 0]
    /\ run = [s \in Sessions |-> 0]
    /\ host = [fence |-> 0, current |-> 0, live |-> {}, ended |-> {}]

---------------------------------------------------------------------------------------------------
(* What the parts ask themselves. *)

IsAlive(s) == lease[s] > 0                       \* leases.py, is_alive

IsFenced(s) == SelfFence /\ unheard[s] > Fence   \* core.py, SessionCore._is_fenced

Holds(s, e) ==                                   \* commit.py, _Commit._held
    task.state = "assigned" /\ task.epoch = e /\ task.session = s

---------------------------------------------------------------------------------------------------
(* Beats. *)

(* core.py, SessionCore.next_beat; engines.py, Engines.keep_leases; leases.py, renew_sessions: *)
(* one that is over stays so. A beat that is slow on its way renews later than its engine      *)
(* counts, so the worst case is one that takes no time; the answer may take any.               *)
Renew(s) ==
    /\ proc[s] = "up" /\ mail[s] = Nothing
    /\ IF IsAlive(s)
       THEN /\ lease' = [lease EXCEPT ![s] = Lease]
            /\ mail' = [mail EXCEPT ![s] = [kind |-> "ack", age |-> 0]]
       ELSE /\ mail' = [mail EXCEPT ![s] = [kind |-> "over", age |-> 0]]
            /\ UNCHANGED lease
    /\ UNCHANGED <<task, handed, proc, unheard, run, said, refused, calls, host, stray>>

(* engines.py, Engines.keep_leases: the conductor did not answer. In the code no *)
(* acknowledgement goes out; this one does.                                      *)
RenewFails(s) ==
    /\ proc[s] = "up" /\ mail[s] = Nothing /\ ~AckAfterRenewal
    /\ mail' = [mail EXCEPT ![s] = [kind |-> "ack", age |-> 0]]
    /\ UNCHANGED <<task, lease, handed, proc, unheard, run, said, refused, calls, host, stray>>

(* core.py, SessionCore.heard: the lease was renewed after the beat was sent. *)
Heard(s) ==
    /\ mail[s].kind = "ack" /\ proc[s] = "up"
    /\ LET since == IF HeardFromSending THEN mail[s].age ELSE 0 IN
       unheard' = [unheard EXCEPT ![s] = IF since < @ THEN since ELSE @]
    /\ mail' = [mail EXCEPT ![s] = Nothing]
    /\ UNCHANGED <<task, lease, handed, proc, run, said, refused, calls, host, stray>>

(* A stream breaks. *)
Break(s) ==
    /\ mail[s] # Nothing
    /\ mail' = [mail EXCEPT ![s] = Nothing]
    /\ UNCHANGED <<task, lease, handed, proc, unheard, run, said, refused, calls, host, stray>>

---------------------------------------------------------------------------------------------------
(* The engine. *)

(* core.py, SessionCore._offered and ._refusal: what is known goes on as it is, a fenced        *)
(* session begins nothing. From here on the command may reach the host, whatever becomes of the *)
(* engine.                                                                                      *)
Begin(s, e) ==
    /\ <<s, e>> \in handed \ (said \cup refused) /\ proc[s] = "up"
    /\ run[s] < e
    /\ IF IsFenced(s)
       THEN /\ refused' = refused \cup {<<s, e>>}
            /\ UNCHANGED <<run, calls>>
       ELSE /\ run' = [run EXCEPT ![s] = e]
            /\ calls' = calls \cup {<<"run", e>>}
            /\ UNCHANGED refused
    /\ UNCHANGED <<task, lease, handed, mail, proc, unheard, said, host, stray>>

(* scripts.py, ScriptSteps.run_script; core.py, SessionCore.ended: the host said how it ended, *)
(* or that a later epoch has asked. The result is sent until it is acknowledged.               *)
Finish(s) ==
    /\ run[s] > 0 /\ proc[s] = "up"
    /\ \/ host.fence = run[s] /\ host.current \in host.ended
       \/ host.fence > run[s]
       \/ ~FarSideGuard /\ run[s] \in host.ended
    /\ said' = said \cup {<<s, run[s]>>}
    /\ run' = [run EXCEPT ![s] = 0]
    /\ UNCHANGED <<task, lease, handed, mail, proc, unheard, refused, calls, host, stray>>

(* Its streams end with it, and what was said to it. *)
End(s) ==
    /\ proc' = [proc EXCEPT ![s] = "over"]
    /\ run' = [run EXCEPT ![s] = 0]
    /\ mail' = [mail EXCEPT ![s] = Nothing]
    /\ unheard' = [unheard EXCEPT ![s] = 0]
    /\ handed' = {each \in handed : each[1] # s}

(* session.py, Session.watch; core.py, SessionCore.tick and .end; runner.py, Runner._stop. A *)
(* host that does not answer is not stopped: then the guard has to help.                     *)
Watch(s) ==
    /\ proc[s] = "up"
    /\ IsFenced(s) \/ mail[s].kind = "over"
    /\ End(s)
    /\ calls' = IF run[s] > 0 THEN calls \cup {<<"stop", run[s]>>} ELSE calls
    /\ UNCHANGED <<task, lease, said, refused, host, stray>>

---------------------------------------------------------------------------------------------------
(* The scheduler, and the conductor that decides. *)

(* hand_out.py, HandOut._hand_out; commit.py, _Commit._assign *)
Assign(s) ==
    /\ task.state = "pending" /\ task.epoch < MaxEpoch /\ IsAlive(s)
    /\ task' = [task EXCEPT !.state = "assigned", !.epoch = @ + 1, !.session = s]
    /\ handed' = handed \cup {<<s, task.epoch + 1>>}
    /\ UNCHANGED <<lease, mail, proc, unheard, run, said, refused, calls, host, stray>>

(* results.py, Results.lose; commit.py, _Commit._defer with only_if_session_ended, or, after *)
(* too many losses, ._finish with the outcome LOST. It is asked when a session is silent, by *)
(* the clock of a scheduler that may be wrong: scheduler.py, SchedulerCore._look_after.      *)
Lose ==
    /\ task.state = "assigned" /\ LooksAfter
    /\ LET last == task.lost + 1 >= LostAttempts
           looks == IF last THEN QuarantineLooks ELSE RequeueLooks IN
       /\ looks => ~IsAlive(task.session)
       /\ task' = [task EXCEPT !.state = IF last THEN "failed" ELSE "pending", !.lost = @ + 1]
    \* leases.py, end_sessions
    /\ lease' = IF IsAlive(task.session) THEN lease ELSE [lease EXCEPT ![task.session] = 0]
    /\ UNCHANGED <<handed, mail, proc, unheard, run, said, refused, calls, host, stray>>

(* scheduler.py, SchedulerCore._done; commit.py, _Commit._finish and ._defer (tried again) *)
Done(s, e) ==
    /\ <<s, e>> \in said
    /\ EpochCheck => Holds(s, e)
    /\ task.state # "failed"
    /\ \E state \in {"succeeded", "pending"} : task' = [task EXCEPT !.state = state]
    /\ stray' = (stray \/ ~Holds(s, e))
    /\ UNCHANGED <<lease, handed, mail, proc, unheard, run, said, refused, calls, host>>

(* scheduler.py, SchedulerCore._refused; results.py, Results.not_begun; commit.py, *)
(* _Commit._defer                                                                  *)
Refused(s, e) ==
    /\ <<s, e>> \in refused /\ Holds(s, e)
    /\ task' = [task EXCEPT !.state = "pending"]
    /\ UNCHANGED <<lease, handed, mail, proc, unheard, run, said, refused, calls, host, stray>>

---------------------------------------------------------------------------------------------------
(* The host: remote/far_side.sh. Each decision is made under a lock. *)

(* Calls that can still change something: older ones are stale, the same one again finds its *)
(* run.                                                                                      *)
Later(e) == {each \in calls : each[2] > e \/ each = <<"stop", e>>}

(* start: a higher epoch first stops the older one. *)
HostRuns(e) ==
    /\ <<"run", e>> \in calls
    /\ IF FarSideGuard
       THEN /\ host.fence < e
            /\ host' = [fence |-> e, current |-> e, live |-> {e}, ended |-> {}]
            /\ calls' = Later(e)
       ELSE /\ host' = [host EXCEPT !.live = @ \cup {e}]
            /\ calls' = calls \ {<<"run", e>>}
    /\ UNCHANGED <<task, lease, handed, mail, proc, unheard, run, said, refused, stray>>

(* stop: a start that is still on its way finds that it has been stopped. *)
HostStops(e) ==
    /\ <<"stop", e>> \in calls /\ e >= host.fence
    /\ LET counts == IF host.fence = 0 THEN e ELSE host.current IN
       host' = [fence |-> e, current |-> counts, live |-> {}, ended |-> {counts}]
    /\ calls' = Later(e)
    /\ UNCHANGED <<task, lease, handed, mail, proc, unheard, run, said, refused, stray>>

CommandEnds(e) ==
    /\ e \in host.live
    /\ host' = [host EXCEPT !.live = @ \ {e}, !.ended = @ \cup {e}]
    /\ UNCHANGED <<task, lease, handed, mail, proc, unheard, run, said, refused, calls, stray>>

---------------------------------------------------------------------------------------------------
(* The world. *)

(* SIGSTOP, or a machine that is stopped *)
Pause(s) ==
    /\ proc[s] = "up"
    /\ proc' = [proc EXCEPT ![s] = "paused"]
    /\ UNCHANGED <<task, lease, handed, mail, unheard, run, said, refused, calls, host, stray>>

Resume(s) ==
    /\ proc[s] = "paused"
    /\ proc' = [proc EXCEPT ![s] = "up"]
    /\ UNCHANGED <<task, lease, handed, mail, unheard, run, said, refused, calls, host, stray>>

(* kill -9: nothing is stopped on the host *)
Kill(s) ==
    /\ proc[s] # "over"
    /\ End(s)
    /\ UNCHANGED <<task, lease, said, refused, calls, host, stray>>

(* One unit of time. A process that is up looks at its fence often: session.py, Session.watch. *)
(* One that does not get to do so counts as paused.                                            *)
Tick ==
    /\ \A s \in Sessions : proc[s] = "up" => ~IsFenced(s)
    /\ lease' = [s \in Sessions |-> IF lease[s] = 0 THEN 0 ELSE lease[s] - 1]
    /\ unheard' = [s \in Sessions |->
           IF proc[s] = "over" \/ (proc[s] = "paused" /\ ~ClockRunsInPause)
           THEN unheard[s] ELSE Older(unheard[s])]
    /\ mail' = [s \in Sessions |->
           IF mail[s].kind = "ack" THEN [mail[s] EXCEPT !.age = Older(@)] ELSE mail[s]]
    /\ UNCHANGED <<task, handed, proc, run, said, refused, calls, host, stray>>

---------------------------------------------------------------------------------------------------

Work(s) ==
    \/ Renew(s) \/ Heard(s) \/ Finish(s) \/ Watch(s) \/ Assign(s)
    \/ \E e \in Epochs : Begin(s, e) \/ Done(s, e) \/ Refused(s, e)

HostWorks == \E e \in Epochs : HostRuns(e) \/ HostStops(e) \/ CommandEnds(e)

Next ==
    \/ \E s \in Sessions : Work(s) \/ RenewFails(s) \/ Break(s) \/ Pause(s) \/ Resume(s) \/ Kill(s)
    \/ Lose \/ HostWorks \/ Tick

Spec == Init /\ [][Next]_vars

(* Nobody tarries for ever, and no process is stopped each time before it did anything. *)
Fair ==
    /\ \A s \in Sessions :
           /\ WF_vars(Resume(s)) /\ SF_vars(Watch(s)) /\ SF_vars(Finish(s))
           /\ \A e \in Epochs :
                  SF_vars(Begin(s, e)) /\ WF_vars(Done(s, e)) /\ WF_vars(Refused(s, e))
    /\ WF_vars(Lose) /\ WF_vars(HostWorks) /\ WF_vars(Tick)

FairSpec == Spec /\ Fair

---------------------------------------------------------------------------------------------------
(* What must hold. *)

(* A session that works on the task, and by its own clock may. *)
Works(s) == run[s] > 0 /\ proc[s] # "over" /\ ~IsFenced(s)

(* I4: no two at once. *)
OneOwner == \A s, other \in Sessions : Works(s) /\ Works(other) => s = other

(* Whoever works still has the task: nothing was given to others or given up meanwhile. *)
WorksOnItsOwn == \A s \in Sessions : Works(s) => Holds(s, run[s])

(* One command on the host, and the newest that asked. *)
OneCommand == Cardinality(host.live) <= 1
NewestCommand == \A e \in host.live : e = host.current

(* I3: a result counts once, and only for the owner. *)
RecordedByOwner == ~stray
EndsAlone == task.state \in {"succeeded", "failed"} => \A s \in Sessions : ~Works(s)

(* Nothing is lost: whatever becomes of a session, its task ends or comes back. *)
ComesBack == task.state = "assigned" ~> task.state # "assigned"

Symmetry == Permutations(Sessions)
===================================================================================================
