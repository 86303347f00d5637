----------------------------------------- MODULE HandOver -----------------------------------------
(* One task of one operation, and the scheduler incarnations that own the operation one after  *)
(* the other: each commit is numbered and may be answered late, twice or never; an incarnation *)
(* is killed, sleeps, hands over, or does not know yet that it was taken over. Engines live on *)
(* meanwhile (LeaseFence.tla has those that die), and listen to all of them.                   *)
(*                                                                                             *)
(* There is no clock: a lease may end whenever somebody else claims, however long a scheduler  *)
(* sleeps.                                                                                     *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Schedulers,        \* incarnations: lives of schedulers
    Engines,           \* sessions
    MaxEpoch,          \* so often the task is handed out (bound of the model)
    MaxQueue           \* so many messages lie in one stream (bound of the model)

CONSTANTS              \* The safeguards. Each is TRUE in the code; the broken models lack one.
    Fenced,            \* a commit counts only from the incarnation that owns the operation
    Numbered,          \* the same number again gives the stored outcome
    SendAfterCommit,   \* a hand-out is said to its engine after it was stored
    AckAfterCommit,    \* a result is acknowledged after it was stored
    RemembersPast,     \* an engine never begins again what has ended there
    OffersAgain        \* what an engine may not have heard of is offered again

VARIABLES
    row,        \* the task's row: state, epoch, session
    owner,      \* the operation's row: who owns it
    lease,      \* rows of schedulers: none, held or lost; number and outcome of the last commit
    wire,       \* commits that were sent. Each may arrive at any time, and again.
    answers,    \* answers to commits. Each may be read at any time, or never.
    life,       \* of each incarnation: unborn, live or over
    mem,        \* what each incarnation believes of the task
    way,        \* the commit that each has under way
    stream,     \* messages from each scheduler to each engine, in order
    begun,      \* the epoch that each engine works on; 0: none
    owed,       \* results that each engine keeps until they are acknowledged
    past,       \* the highest epoch that has ended at each engine
    said,       \* results that engines sent: they come late or again, to every scheduler
    history     \* what was applied, and what went wrong; nothing else reads it

vars == <<row, owner, lease, wire, answers, life, mem, way, stream, begun, owed, past, said,
          history>>

Epochs == 1..MaxEpoch
Nobody == "nobody"
Unknown == [phase |-> "unknown", epoch |-> 0, session |-> Nobody]
NoCommit == [number |-> 0, kind |-> "none", epoch |-> 0, session |-> Nobody]

Init ==
    /\ row = [state |-> "pending", epoch |-> 0, session |-> Nobody]
    /\ owner = Nobody
    /\ lease = [i \in Schedulers |-> [state |-> "none", number |-> 0, outcome |-> "none"]]
    /\ wire = {} /\ answers = {} /\ said = {}
    /\ life = [i \in Schedulers |-> "unborn"]
    /\ mem = [i \in Schedulers |-> Unknown]
    /\ way = [i \in Schedulers |-> NoCommit]
    /\ stream = [i \in Schedulers |-> [e \in Engines |-> <<>>]]
    /\ begun = [e \in Engines |-> 0]
    /\ owed = [e \in Engines |-> {}]
    /\ past = [e \in Engines |-> 0]
    /\ history = [assigned |-> {}, ended |-> {}, applied |-> {}, foreign |-> FALSE,
                  twice |-> FALSE, other |-> FALSE]

---------------------------------------------------------------------------------------------------
(* The conductor: each action is one transaction. *)

Holds(c) == row.state = "assigned" /\ row.epoch = c.epoch /\ row.session = c.session

(* commit.py, _Commit._assign, ._finish and ._defer *)
Verdict(i, c) ==
    IF Fenced /\ owner # i THEN "not owned"
    ELSE IF c.kind = "assign"
         THEN IF row.state = "pending" /\ c.epoch = row.epoch + 1 THEN "applied" ELSE "stale"
         ELSE IF Holds(c) THEN "applied" ELSE "stale"

Changed(c) ==
    CASE c.kind = "assign" -> [state |-> "assigned", epoch |-> c.epoch, session |-> c.session]
      [] c.kind = "finish" -> [row EXCEPT !.state = "ended"]
      [] c.kind = "defer" -> [row EXCEPT !.state = "pending"]

(* commit.py, commit: first of all leases.py, own_scheduler. The caller hears of a lost lease, *)
(* sooner or later: LeaseLost.                                                                 *)
Commit(i, c) ==
    /\ <<i, c>> \in wire
    /\ Fenced => lease[i].state = "held"
    /\ IF Numbered /\ c.number = lease[i].number
       THEN /\ answers' = answers \cup {<<i, c.number, lease[i].outcome>>}
            /\ UNCHANGED <<row, lease, history>>
       ELSE /\ Numbered => c.number = lease[i].number + 1   \* else COMMIT_OUT_OF_ORDER
            /\ LET verdict == Verdict(i, c)
                   entry == <<i, c.number>> IN
               /\ row' = IF verdict = "applied" THEN Changed(c) ELSE row
               /\ lease' = [lease EXCEPT ![i].number = c.number, ![i].outcome = verdict]
               /\ answers' = answers \cup {<<i, c.number, verdict>>}
               /\ history' = [history EXCEPT
                      !.foreign = @ \/ (verdict = "applied" /\ owner # i),
                      !.twice = @ \/ entry \in history.applied,
                      !.applied = @ \cup {entry},
                      !.assigned = IF verdict = "applied" /\ c.kind = "assign"
                                   THEN @ \cup {<<c.session, c.epoch>>} ELSE @,
                      !.ended = IF verdict = "applied" /\ c.kind # "assign"
                                THEN @ \cup {<<c.session, c.epoch>>} ELSE @]
    /\ UNCHANGED <<owner, wire, life, mem, way, stream, begun, owed, past, said>>

(* claims.py, claim: leases.py, take_over_ended first, then free operations. Whose lease is *)
(* over is anyone's guess here.                                                             *)
Taken(i, ended) ==
    /\ life[i] = "live" /\ lease[i].state = "held"
    /\ owner = Nobody \/ owner \in ended
    /\ lease' = [j \in Schedulers |->
           IF j \in ended THEN [lease[j] EXCEPT !.state = "lost"] ELSE lease[j]]
    /\ owner' = i

---------------------------------------------------------------------------------------------------
(* A scheduler. *)

(* incarnation.py, Incarnation._first_lease; leases.py, renew_scheduler *)
Start(i) ==
    /\ life[i] = "unborn"
    /\ life' = [life EXCEPT ![i] = "live"]
    /\ lease' = [lease EXCEPT ![i].state = "held"]
    /\ UNCHANGED <<row, owner, wire, answers, mem, way, stream, begun, owed, past, said, history>>

(* scheduler.py, SchedulerCore._claimed and ._adopt: what engines do already is kept. *)
Claimed(i) ==
    /\ mem[i] = Unknown
    /\ \E ended \in SUBSET {j \in Schedulers \ {i} : lease[j].state = "held"} : Taken(i, ended)
    /\ mem' = [mem EXCEPT ![i] =
           [phase |-> IF row.state = "pending" THEN "waiting" ELSE row.state,
            epoch |-> row.epoch, session |-> row.session]]
    /\ UNCHANGED <<row, wire, answers, life, way, stream, begun, owed, past, said, history>>

(* incarnation.py, Incarnation._claim: an answer that may be lost ends the incarnation. *)
ClaimFails(i) ==
    /\ mem[i] = Unknown
    /\ \E ended \in SUBSET {j \in Schedulers \ {i} : lease[j].state = "held"} : Taken(i, ended)
    /\ life' = [life EXCEPT ![i] = "over"]
    /\ UNCHANGED <<row, wire, answers, mem, way, stream, begun, owed, past, said, history>>

(* ledger.py, Ledger.next_commit; incarnation.py, Incarnation._commit. It is sent until an *)
(* answer comes (CommitUnknown, Ledger.same_commit): in `wire` it stays.                   *)
Decide(i, kind, epoch, session) ==
    LET c == [number |-> lease[i].number + 1, kind |-> kind,
              epoch |-> epoch, session |-> session] IN
    /\ way[i] = NoCommit
    /\ way' = [way EXCEPT ![i] = c]
    /\ wire' = wire \cup {<<i, c>>}

Say(i, e, kind, epoch) ==
    stream' = IF Len(stream[i][e]) < MaxQueue
              THEN [stream EXCEPT ![i][e] = Append(@, <<kind, epoch>>)]
              ELSE stream

(* hand_out.py, HandOut._hand_out *)
HandOut(i) ==
    /\ life[i] = "live" /\ mem[i].phase = "waiting" /\ mem[i].epoch < MaxEpoch
    /\ \E e \in Engines :
           /\ Decide(i, "assign", mem[i].epoch + 1, e)
           /\ mem' = [mem EXCEPT ![i] =
                  [phase |-> "assigning", epoch |-> mem[i].epoch + 1, session |-> e]]
           /\ IF SendAfterCommit THEN UNCHANGED stream ELSE Say(i, e, "run", mem[i].epoch + 1)
    /\ UNCHANGED <<row, owner, lease, answers, life, begun, owed, past, said, history>>

(* scheduler.py, SchedulerCore._done; results.py, Results.take: it ends, or is tried again. *)
Done(i, e) ==
    /\ life[i] = "live" /\ mem[i].phase = "assigned" /\ mem[i].session = e
    /\ <<e, mem[i].epoch>> \in said
    /\ \E kind \in {"finish", "defer"} :
           /\ kind = "defer" => mem[i].epoch < MaxEpoch
           /\ Decide(i, kind, mem[i].epoch, e)
    /\ mem' = [mem EXCEPT ![i].phase = "recording"]
    /\ IF AckAfterCommit THEN UNCHANGED stream ELSE Say(i, e, "ack", mem[i].epoch)
    /\ UNCHANGED <<row, owner, lease, answers, life, begun, owed, past, said, history>>

(* scheduler.py, SchedulerCore._is_past: what surely has ended is acknowledged again. *)
DoneAgain(i, e, epoch) ==
    /\ life[i] = "live" /\ mem[i] # Unknown /\ <<e, epoch>> \in said
    /\ \/ epoch < mem[i].epoch
       \/ epoch = mem[i].epoch /\ mem[i].phase \in {"waiting", "ended"}
    /\ Len(stream[i][e]) < MaxQueue /\ epoch \in owed[e]
    /\ Say(i, e, "ack", epoch)
    /\ UNCHANGED <<row, owner, lease, wire, answers, life, mem, way, begun, owed, past, said,
                   history>>

(* scheduler.py, SchedulerCore._hello and ._adopt: the engine may not have heard of it. *)
Offer(i, e) ==
    /\ life[i] = "live" /\ mem[i].phase = "assigned" /\ mem[i].session = e
    /\ stream[i][e] = <<>> /\ OffersAgain
    /\ Say(i, e, "run", mem[i].epoch)
    /\ UNCHANGED <<row, owner, lease, wire, answers, life, mem, way, begun, owed, past, said,
                   history>>

(* scheduler.py, SchedulerCore._committed; ledger.py, Ledger.settle: what follows is said now. *)
(* A verdict that should not be means that memory is wrong: SchedulerCore.abandon.             *)
Committed(i) ==
    /\ life[i] = "live" /\ way[i] # NoCommit
    /\ \E verdict \in {"applied", "stale", "not owned"} :
         /\ <<i, way[i].number, verdict>> \in answers
         /\ way' = [way EXCEPT ![i] = NoCommit]
         /\ history' = [history EXCEPT !.other = @ \/
                (verdict # "applied" /\ <<i, way[i].number, "applied">> \in answers)]
         /\ IF verdict # "applied"
            THEN /\ life' = [life EXCEPT ![i] = "over"]
                 /\ UNCHANGED <<mem, stream>>
            ELSE /\ UNCHANGED life
                 /\ mem' = [mem EXCEPT ![i].phase =
                        CASE way[i].kind = "assign" -> "assigned"
                          [] way[i].kind = "finish" -> "ended"
                          [] way[i].kind = "defer" -> "waiting"]
                 /\ LET word == IF way[i].kind = "assign" THEN "run" ELSE "ack"
                        due == IF way[i].kind = "assign" THEN SendAfterCommit ELSE AckAfterCommit IN
                    IF due THEN Say(i, way[i].session, word, way[i].epoch) ELSE UNCHANGED stream
    /\ UNCHANGED <<row, owner, lease, wire, answers, begun, owed, past, said>>

(* scheduler.py, SchedulerCore._lease_lost: a renewal or a commit was answered with ABORTED. *)
LeaseLost(i) ==
    /\ life[i] = "live" /\ lease[i].state = "lost"
    /\ life' = [life EXCEPT ![i] = "over"]
    /\ UNCHANGED <<row, owner, lease, wire, answers, mem, way, stream, begun, owed, past, said,
                   history>>

(* incarnation.py, Incarnation.hand_over and .release; leases.py, release_scheduler. It waits *)
(* for its commit, but not for ever.                                                          *)
HandOver(i) ==
    /\ life[i] = "live" /\ lease[i].state = "held"
    /\ life' = [life EXCEPT ![i] = "over"]
    /\ lease' = [lease EXCEPT ![i].state = "lost"]
    /\ owner' = IF owner = i THEN Nobody ELSE owner
    /\ UNCHANGED <<row, wire, answers, mem, way, stream, begun, owed, past, said, history>>

(* kill -9: what was sent is on its way *)
Kill(i) ==
    /\ life[i] = "live"
    /\ life' = [life EXCEPT ![i] = "over"]
    /\ UNCHANGED <<row, owner, lease, wire, answers, mem, way, stream, begun, owed, past, said,
                   history>>

---------------------------------------------------------------------------------------------------
(* An engine. *)

(* core.py, SessionCore._offered and .acknowledged *)
Hear(i, e) ==
    /\ stream[i][e] # <<>>
    /\ stream' = [stream EXCEPT ![i][e] = Tail(@)]
    /\ LET word == Head(stream[i][e])[1]
           epoch == Head(stream[i][e])[2] IN
       IF word = "ack"
       THEN /\ owed' = [owed EXCEPT ![e] = @ \ {epoch}]
            /\ UNCHANGED <<begun, past, history>>
       ELSE /\ UNCHANGED owed
            /\ IF epoch \in owed[e] \/ begun[e] >= epoch \/ (RemembersPast /\ past[e] >= epoch)
               THEN UNCHANGED <<begun, past, history>>
               ELSE /\ past' = [past EXCEPT ![e] = IF begun[e] > @ THEN begun[e] ELSE @]
                    /\ begun' = [begun EXCEPT ![e] = epoch]
                    /\ UNCHANGED history
    /\ UNCHANGED <<row, owner, lease, wire, answers, life, mem, way, said>>

(* core.py, SessionCore.ended and ._owe; it is said again until it is acknowledged, and to *)
(* every scheduler that comes: session.py, Session.attach; core.py, SessionCore.tick.      *)
Ended(e) ==
    /\ begun[e] > 0
    /\ owed' = [owed EXCEPT ![e] = @ \cup {begun[e]}]
    /\ past' = [past EXCEPT ![e] = begun[e]]
    /\ said' = said \cup {<<e, begun[e]>>}
    /\ begun' = [begun EXCEPT ![e] = 0]
    /\ UNCHANGED <<row, owner, lease, wire, answers, life, mem, way, stream, history>>

(* A stream breaks, with what is on its way. *)
Disconnected(i, e) ==
    /\ stream[i][e] # <<>>
    /\ stream' = [stream EXCEPT ![i][e] = <<>>]
    /\ UNCHANGED <<row, owner, lease, wire, answers, life, mem, way, begun, owed, past, said,
                   history>>

---------------------------------------------------------------------------------------------------

Next ==
    \/ \E i \in Schedulers, c \in {each[2] : each \in wire} : Commit(i, c)
    \/ \E i \in Schedulers :
           \/ Start(i) \/ Claimed(i) \/ ClaimFails(i) \/ HandOut(i) \/ Committed(i)
           \/ LeaseLost(i) \/ HandOver(i) \/ Kill(i)
           \/ \E e \in Engines :
                  \/ Done(i, e) \/ Offer(i, e) \/ Hear(i, e) \/ Disconnected(i, e)
                  \/ \E epoch \in Epochs : DoneAgain(i, e, epoch)
    \/ \E e \in Engines : Ended(e)

Spec == Init /\ [][Next]_vars

(* Nobody tarries for ever, and no stream breaks each time before anything was heard. *)
Fair ==
    /\ \A i \in Schedulers :
           /\ WF_vars(\E c \in {each[2] : each \in wire} : Commit(i, c))
           /\ WF_vars(Claimed(i)) /\ WF_vars(HandOut(i))
           /\ WF_vars(Committed(i)) /\ WF_vars(LeaseLost(i))
           /\ \A e \in Engines : WF_vars(Done(i, e)) /\ WF_vars(Offer(i, e)) /\ SF_vars(Hear(i, e))
    /\ \A e \in Engines : WF_vars(Ended(e))

FairSpec == Spec /\ Fair

---------------------------------------------------------------------------------------------------
(* What must hold. *)

(* I3: whoever commits owns the operation. *)
OwnersCommit == ~history.foreign

(* A commit is applied once, and its sender learns what became of it then. *)
AppliedOnce == ~history.twice
OutcomeAsStored == ~history.other

(* I1: nothing is handed out, and nothing works, before that is stored. *)
StoredBeforeSent ==
    \A i \in Schedulers, e \in Engines : \A n \in DOMAIN stream[i][e] :
        LET said_now == stream[i][e][n] IN
        <<e, said_now[2]>> \in IF said_now[1] = "run" THEN history.assigned ELSE history.ended

(* I2: a result that the engine may forget is stored. *)
StoredBeforeForgotten ==
    \A each \in said : each[2] \in owed[each[1]] \/ each \in history.ended

(* I4: whoever works has the task by the row: no two at once, nothing done again. *)
WorksOnItsOwn ==
    \A e \in Engines : begun[e] > 0 =>
        row.state = "assigned" /\ row.epoch = begun[e] /\ row.session = e

(* A scheduler that has the operation and waits for no commit knows the row. *)
MemoryIsRight ==
    \A i \in Schedulers : life[i] = "live" /\ owner = i /\ mem[i] # Unknown /\ way[i] = NoCommit =>
        /\ mem[i].epoch = row.epoch
        /\ mem[i].phase = IF row.state = "pending" THEN "waiting" ELSE row.state

(* Nothing is lost: the task ends as long as there is a scheduler. *)
Ends == <>[](row.state = "ended" \/ \A i \in Schedulers : life[i] # "live")

Symmetry == Permutations(Engines) \cup Permutations(Schedulers)
===================================================================================================
