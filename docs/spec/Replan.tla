------------------------------------------ MODULE Replan ------------------------------------------
(* One launch: its plans, its steps, and what the cloud makes of them. Plans look at facts and *)
(* wait for nobody, so that facts go on changing while a plan is made; a wish to end it may    *)
(* come at any moment; engines are lost with what they know, and the scheduler with what it    *)
(* only remembered.                                                                            *)
(*                                                                                             *)
(* Decisions count at once here: how they are recorded, and by whom, is in HandOver.tla; how   *)
(* engines are known to be lost, in LeaseFence.tla.                                            *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Nodes,                \* instances of the cluster
    Failures,             \* so many steps fail for good (bound of the model)
    Losses,               \* so many attempts are lost with their engines (bound of the model)
    Takeovers,            \* so often another scheduler takes over (bound of the model)
    Superseded            \* TRUE: the wish to end it comes from a delete that waits for that

CONSTANTS                 \* The safeguards. Each is TRUE in the code; the broken models lack one.
    EndWaits,             \* an operation ends when nothing of it runs any more
    DeleteAwaitsCall,     \* a server that is being asked for is deleted when that is over
    DeleteAwaitsCreate,   \* ... also when nobody has begun to ask for it
    LooksUp,              \* whatever may exist is deleted, known or not
    PlansAlone,           \* one plan of an operation at a time
    KeysOnce,             \* a key that is stored is not stored again
    RemembersNews,        \* what happens while a plan is made is still news after it
    LooksForMore,         \* when nothing is left to do, a plan looks whether that is the end
    CallsEndInTime        \* what a lost engine asked of the cloud is over when its lease is

VARIABLES
    step,       \* state of each step: none, waiting, out (at an engine), succeeded, failed, skipped
    unwanted,   \* steps and plans that are out and are to be stopped; only the scheduler remembers
    instance,   \* what is known of each node: none, planned, created, ready or deleted
    call,       \* what each create has asked of the cloud: nothing, asked, or made
    stray,      \* requests to the cloud whose engine is lost
    there,      \* servers that exist
    asked,      \* whether a plan waits to be handed out
    plan,       \* plans that are out: idle, reading, or the answer
    news,       \* graph.py, OperationGraph.has_news
    wish,       \* to end it: none, stored, or known to the scheduler
    answered,   \* Operation.cancel_acknowledged
    ending,     \* graph.py, OperationGraph.ending: how it ends, and the plan that says so, or 0
    operation,  \* running, succeeded, cancelled, failed or stuck
    residue,    \* what the operation reported as left
    twice,      \* history: a key was stored that was stored already
    budget      \* what may still go wrong

vars == <<step, unwanted, instance, call, stray, there, asked, plan, news, wish, answered, ending,
          operation, residue, twice, budget>>
cloud == <<call, stray, there>>
outcome == <<operation, residue, twice>>

Kinds == {"create", "setup", "delete"}
Keys == Kinds \X Nodes
Plans == 1..2
Name(p) == <<"plan", p>>
NoEnding == [state |-> "none", plan |-> 0, residue |-> {}]
Idle == [state |-> "idle"]
Reading == [state |-> "reading"]

Init ==
    /\ step = [k \in Keys |-> "none"]
    /\ unwanted = {} /\ stray = {} /\ residue = {}
    /\ instance = [n \in Nodes |-> "none"]
    /\ call = [n \in Nodes |-> "nothing"]
    /\ there = [n \in Nodes |-> FALSE]
    /\ asked = TRUE                       \* operations.py, create stores the first plan
    /\ plan = [p \in Plans |-> Idle]
    /\ news = TRUE
    /\ wish = "none" /\ answered = FALSE
    /\ ending = NoEnding /\ operation = "running" /\ twice = FALSE
    /\ budget = [failures |-> Failures, losses |-> Losses, takeovers |-> Takeovers]

---------------------------------------------------------------------------------------------------
(* The planner: facts in, an answer out. *)

Is(kind, n, states) == step[<<kind, n>>] \in states
Open == {k \in Keys : step[k] \in {"waiting", "out"}}
Busy == \E k \in Keys : step[k] = "out"                    \* situation.py, Situation.is_busy

Answer(spawn, drop, end, left) ==
    [state |-> "answer", spawn |-> spawn, drop |-> drop, end |-> end, residue |-> left]

(* retreat.py, is_due and has_begun; nodes.py, Nodes.hopeless (replacements are left out) *)
IsDue ==
    \/ wish # "none"
    \/ \E k \in Keys : step[k] = "failed"
    \/ \E n \in Nodes : ~Is("delete", n, {"none"})

(* grow.py, decide *)
Grow ==
    LET done == \A n \in Nodes : Is("create", n, {"succeeded"}) /\ Is("setup", n, {"succeeded"}) IN
    Answer({k \in Keys : k[1] # "delete" /\ step[k] = "none"}, {},
           IF done /\ ~Busy THEN "succeeded" ELSE "none", {})

(* retreat.py, decide, _to_delete, _stop_the_rest, _remove and _end. A delete that was skipped *)
(* is stored again under the next name: situation.py, Situation.again.                         *)
Retreat ==
    LET known == IF LooksUp THEN {"planned", "created", "ready"} ELSE {"created", "ready"}
        left == {n \in Nodes : instance[n] \in known}
        leadsBack(k) == k[1] = "delete" /\ (k[2] \in left \/ step[k] = "out")
        mayGo(n) == /\ DeleteAwaitsCall => ~Is("create", n, {"out"})
                    /\ DeleteAwaitsCreate => ~Is("create", n, {"waiting"})
        free == {n \in left : Is("delete", n, {"none", "skipped"}) /\ mayGo(n)}
        spawn == {<<"delete", n>> : n \in free}
        failed == {n \in left : Is("delete", n, {"failed"})}
        quit == wish # "none" /\ Superseded          \* situation.py, Situation.is_superseded
        over == ~Busy /\ spawn = {} /\ failed = left
        state == IF wish # "none" /\ failed = {} THEN "cancelled" ELSE "failed" IN
    IF quit THEN Answer({}, Open, IF Busy THEN "none" ELSE "cancelled", {})
    ELSE Answer(spawn, {k \in Open : ~leadsBack(k)}, IF over THEN state ELSE "none", failed)

---------------------------------------------------------------------------------------------------
(* What follows from what. *)

PlansOut == {p \in Plans : plan[p] # Idle}

(* graph.py, OperationGraph.doomed: only a setup needs something, its create. *)
Without(steps, gone) ==
    [k \in Keys |-> IF k \in gone \/ (k[1] = "setup" /\ <<"create", k[2]>> \in gone
                                     /\ steps[k] \in {"waiting", "out"})
                    THEN "skipped" ELSE steps[k]]

(* course.py, Course.plan_again: unless one waits, or the end has begun. *)
PlanAgain == asked' = (asked \/ ending = NoEnding)

(* course.py, Course.look_for_more, when nothing is left *)
LookForMore(steps, plansOut, isNews) ==
    IF \/ ~LooksForMore \/ asked \/ plansOut # {} \/ ending # NoEnding
       \/ \E k \in Keys : steps[k] \in {"waiting", "out"}
    THEN UNCHANGED <<asked, ending>>
    ELSE IF isNews THEN asked' = TRUE /\ UNCHANGED ending
    ELSE ending' = [NoEnding EXCEPT !.state = "stuck"] /\ UNCHANGED asked

---------------------------------------------------------------------------------------------------
(* Plans. *)

(* hand_out.py, HandOut._hand_out; graph.py, OperationGraph.may_run; course.py, *)
(* Course.acknowledge_cancel                                                           *)
PlanHandedOut(p) ==
    /\ operation = "running" /\ asked /\ ending = NoEnding /\ plan[p] = Idle
    /\ PlansAlone => PlansOut = {}
    /\ wish = "known" => ~Busy /\ PlansOut = {}
    /\ plan' = [plan EXCEPT ![p] = Reading]
    /\ asked' = FALSE /\ news' = FALSE
    /\ answered' = (answered \/ wish = "known")
    /\ UNCHANGED <<step, unwanted, instance, cloud, wish, ending, outcome, budget>>

(* steps/plan.py, PlanStep.plan; planner/plan.py, decide; plan_facts.py, read: one snapshot *)
PlanReads(p) ==
    /\ plan[p] = Reading
    /\ plan' = [plan EXCEPT ![p] = IF IsDue THEN Retreat ELSE Grow]
    /\ UNCHANGED <<step, unwanted, instance, cloud, asked, news, wish, answered, ending, outcome,
                   budget>>

(* results.py, Results._succeeded, when the plan says how it ends; course.py, Course._begin_end *)
PlanConcludes(p) ==
    /\ plan[p].state = "answer" /\ plan[p].end # "none" /\ ending = NoEnding
    /\ ending' = [state |-> plan[p].end, plan |-> p, residue |-> plan[p].residue]
    /\ unwanted' = unwanted \cup {k \in Keys : step[k] = "out"}
                            \cup {Name(q) : q \in PlansOut \ {p}}
    /\ UNCHANGED <<step, instance, cloud, asked, plan, news, wish, answered, outcome, budget>>

(* results.py, Results._succeeded and ._follow; course.py, Course.give_up and .spawn;    *)
(* commit.py, _Commit._spawn. The first plan also declares the nodes: nodes.py, declare. *)
PlanDone(p) ==
    LET answer == plan[p]
        follows == Name(p) \notin unwanted /\ ending = NoEnding
        out == {k \in answer.drop : step[k] = "out"}
        gone == {k \in answer.drop : step[k] = "waiting"}
        known == {k \in answer.spawn : step[k] \notin {"none", "skipped"}}
        fresh == IF KeysOnce THEN answer.spawn \ known ELSE answer.spawn
        steps == Without(step, gone) IN
    /\ answer.state = "answer"
    /\ answer.end = "none" \/ (ending # NoEnding /\ ending.plan # p)
    /\ plan' = [plan EXCEPT ![p] = Idle]
    /\ instance' = [n \in Nodes |->
           IF instance[n] = "none" /\ <<"create", n>> \in answer.spawn
           THEN "planned" ELSE instance[n]]
    /\ IF follows
       THEN /\ step' = [k \in Keys |-> IF k \in fresh THEN "waiting" ELSE steps[k]]
            /\ unwanted' = unwanted \cup out
            /\ twice' = (twice \/ fresh \cap known # {})
            /\ news' = ((news /\ RemembersNews) \/ gone # {})
            /\ IF fresh = {} THEN LookForMore(steps, PlansOut \ {p}, news')
               ELSE UNCHANGED <<asked, ending>>
       ELSE /\ unwanted' = unwanted \ {Name(p)}
            /\ IF Name(p) \in unwanted THEN PlanAgain ELSE UNCHANGED asked
            /\ UNCHANGED <<step, twice, news, ending>>
    /\ UNCHANGED <<cloud, wish, answered, operation, residue, budget>>

(* course.py, Course._settle and ._record_end; operations.py, end skips what waits. *)
Settle ==
    /\ operation = "running" /\ ending # NoEnding
    /\ EndWaits => ~Busy /\ PlansOut \subseteq {ending.plan}
    /\ operation' = ending.state /\ residue' = ending.residue
    /\ plan' = IF ending.plan = 0 THEN plan ELSE [plan EXCEPT ![ending.plan] = Idle]
    /\ step' = [k \in Keys |-> IF step[k] = "waiting" THEN "skipped" ELSE step[k]]
    /\ asked' = FALSE
    /\ UNCHANGED <<unwanted, instance, cloud, news, wish, answered, ending, twice, budget>>

---------------------------------------------------------------------------------------------------
(* Steps. *)

(* hand_out.py, HandOut._hand_out *)
HandedOut(k) ==
    /\ operation = "running" /\ ending = NoEnding /\ step[k] = "waiting"
    /\ k[1] = "setup" => Is("create", k[2], {"succeeded"})
    /\ step' = [step EXCEPT ![k] = "out"]
    /\ UNCHANGED <<unwanted, instance, cloud, asked, plan, news, wish, answered, ending, outcome,
                   budget>>

(* steps/servers.py, ServerSteps.create_server: the request is on its way to the cloud. *)
CreateAsks(n) ==
    /\ Is("create", n, {"out"}) /\ call[n] = "nothing"
    /\ call' = [call EXCEPT ![n] = "asked"]
    /\ UNCHANGED <<step, unwanted, instance, stray, there, asked, plan, news, wish, answered,
                   ending, outcome, budget>>

(* cloud/base.py, Cloud.create_server: one server for one instance, however often asked for *)
CloudMakes(n) ==
    /\ \/ call[n] = "asked" /\ call' = [call EXCEPT ![n] = "made"] /\ UNCHANGED stray
       \/ n \in stray /\ stray' = stray \ {n} /\ UNCHANGED call
    /\ there' = [there EXCEPT ![n] = TRUE]
    /\ UNCHANGED <<step, unwanted, instance, asked, plan, news, wish, answered, ending, outcome,
                   budget>>

Reached(k) ==
    CASE k[1] = "create" -> IF instance[k[2]] = "planned" THEN "created" ELSE instance[k[2]]
      [] k[1] = "setup" -> IF instance[k[2]] = "deleted" THEN "deleted" ELSE "ready"
      [] k[1] = "delete" -> "deleted"

(* results.py, Results._succeeded. Done before it could be stopped: whoever did not want it *)
(* must know.                                                                               *)
StepDone(k) ==
    /\ step[k] = "out" /\ (k[1] = "create" => call[k[2]] = "made")
    /\ step' = [step EXCEPT ![k] = "succeeded"]
    /\ instance' = [instance EXCEPT ![k[2]] = Reached(k)]
    /\ call' = IF k[1] = "create" THEN [call EXCEPT ![k[2]] = "nothing"] ELSE call
    /\ there' = IF k[1] = "delete" THEN [there EXCEPT ![k[2]] = FALSE] ELSE there
    /\ news' = TRUE
    /\ unwanted' = unwanted \ {k}
    /\ IF k \in unwanted THEN PlanAgain /\ UNCHANGED ending
       ELSE IF ending # NoEnding THEN UNCHANGED <<asked, ending>>
       ELSE LookForMore(step', PlansOut, TRUE)
    /\ UNCHANGED <<stray, plan, wish, answered, outcome, budget>>

(* course.py, Course.ended_in_vain *)
InVain(k, state) ==
    /\ step' = [Without(step, {k}) EXCEPT ![k] = state]
    /\ news' = TRUE
    /\ unwanted' = unwanted \ {k}
    /\ PlanAgain
    /\ UNCHANGED <<instance, plan, wish, answered, ending, outcome>>

(* results.py, Results._fail, after all tries. The server may be there: the answer was lost. *)
StepFails(k) ==
    /\ step[k] = "out" /\ k \notin unwanted /\ budget.failures > 0
    /\ InVain(k, "failed")
    /\ budget' = [budget EXCEPT !.failures = @ - 1]
    /\ call' = IF k[1] = "create" THEN [call EXCEPT ![k[2]] = "nothing"] ELSE call
    /\ UNCHANGED <<stray, there>>

(* core.py, SessionCore.cancelled; results.py, Results.stopped. steps/threads.py, run_whole: a *)
(* request that has begun is waited for. A delete may have done its work.                      *)
StepStopped(k) ==
    /\ step[k] = "out" /\ k \in unwanted
    /\ k[1] = "create" => call[k[2]] # "asked"
    /\ InVain(k, "skipped")
    /\ call' = IF k[1] = "create" THEN [call EXCEPT ![k[2]] = "nothing"] ELSE call
    /\ \/ UNCHANGED there
       \/ k[1] = "delete" /\ there' = [there EXCEPT ![k[2]] = FALSE]
    /\ UNCHANGED <<stray, budget>>

(* results.py, Results.lose and ._was_lost: nobody knows what it did. A request of the lost *)
(* engine was made, or never will be, or is still on its way.                               *)
StepLost(k) ==
    LET asks == k[1] = "create" /\ call[k[2]] = "asked" IN
    /\ step[k] = "out" /\ budget.losses > 0
    /\ budget' = [budget EXCEPT !.losses = @ - 1]
    /\ call' = IF k[1] = "create" THEN [call EXCEPT ![k[2]] = "nothing"] ELSE call
    /\ \/ UNCHANGED <<there, stray>>
       \/ asks /\ ~CallsEndInTime /\ stray' = stray \cup {k[2]} /\ UNCHANGED there
       \/ k[1] = "delete" /\ there' = [there EXCEPT ![k[2]] = FALSE] /\ UNCHANGED stray
    /\ IF k \in unwanted THEN InVain(k, "skipped")
       ELSE /\ step' = [step EXCEPT ![k] = "waiting"]
            /\ news' = TRUE
            /\ UNCHANGED <<unwanted, asked, instance, plan, wish, answered, ending, outcome>>

---------------------------------------------------------------------------------------------------
(* What comes in between. *)

(* course.py, Course.cancel: what waits is skipped, what runs is stopped, and a plan towards *)
(* the end is due.                                                                           *)
Cancel(plansOut) ==
    /\ step' = [k \in Keys |-> IF step[k] = "waiting" THEN "skipped" ELSE step[k]]
    /\ unwanted' = {k \in Keys : step[k] = "out"} \cup {Name(p) : p \in plansOut}
    /\ asked' = TRUE

(* operations.py, request_cancel *)
Wish ==
    /\ operation = "running" /\ wish = "none"
    /\ wish' = "stored"
    /\ UNCHANGED <<step, unwanted, instance, cloud, asked, plan, news, answered, ending, outcome,
                   budget>>

(* scheduler.py, SchedulerCore._cancel_requested *)
CancelRequested ==
    /\ operation = "running" /\ wish = "stored"
    /\ wish' = "known"
    /\ IF ending = NoEnding
       THEN /\ Cancel(PlansOut)
            /\ news' = (news \/ \E k \in Keys : step[k] = "waiting")
       ELSE UNCHANGED <<step, unwanted, asked, news>>
    /\ UNCHANGED <<instance, cloud, plan, answered, ending, outcome, budget>>

(* results.py, Results._was_lost, of a plan; course.py, Course.resume *)
PlanLost(p) ==
    /\ operation = "running" /\ p \in PlansOut /\ budget.losses > 0
    /\ budget' = [budget EXCEPT !.losses = @ - 1]
    /\ plan' = [plan EXCEPT ![p] = Idle]
    /\ ending' = IF ending.plan = p THEN NoEnding ELSE ending
    /\ IF ending.plan = p /\ wish = "known" /\ ~answered
       THEN Cancel(PlansOut \ {p})
       ELSE /\ unwanted' = unwanted \ {Name(p)}
            /\ asked' = TRUE /\ UNCHANGED step
    /\ news' = (news \/ step' # step)
    /\ UNCHANGED <<instance, cloud, wish, answered, outcome>>

(* scheduler.py, SchedulerCore._claimed: another scheduler reads what is stored. What was only *)
(* remembered is gone, perhaps with what a plan wanted: its own end is stored before its steps *)
(* are.                                                                                        *)
Takeover ==
    /\ operation = "running" /\ budget.takeovers > 0
    /\ budget' = [budget EXCEPT !.takeovers = @ - 1]
    /\ ending' = NoEnding
    /\ wish' = IF wish = "none" THEN "none" ELSE "known"
    /\ \E half \in SUBSET {p \in Plans : plan[p].state = "answer" /\ plan[p].end = "none"
                                          /\ Name(p) \notin unwanted /\ ending = NoEnding} :
         LET left == {p \in PlansOut : p \notin half} IN
         /\ plan' = [p \in Plans |-> IF p \in half THEN Idle ELSE plan[p]]
         /\ IF wish # "none" /\ ~answered
            THEN Cancel(left)
            ELSE /\ UNCHANGED step /\ unwanted' = {}
                 /\ asked' = (asked \/ (left = {} /\ Open = {}))
         /\ instance' = [n \in Nodes |->
                IF instance[n] = "none" /\ \E p \in half : <<"create", n>> \in plan[p].spawn
                THEN "planned" ELSE instance[n]]
    /\ news' = TRUE
    /\ UNCHANGED <<cloud, answered, outcome>>

---------------------------------------------------------------------------------------------------

Next ==
    \/ \E p \in Plans :
           \/ PlanHandedOut(p) \/ PlanReads(p) \/ PlanConcludes(p) \/ PlanDone(p) \/ PlanLost(p)
    \/ Settle
    \/ \E k \in Keys : HandedOut(k) \/ StepDone(k) \/ StepFails(k) \/ StepStopped(k) \/ StepLost(k)
    \/ \E n \in Nodes : CreateAsks(n) \/ CloudMakes(n)
    \/ Wish \/ CancelRequested \/ Takeover

Spec == Init /\ [][Next]_vars

(* Nobody tarries for ever. *)
Fair ==
    /\ \A p \in Plans :
           /\ WF_vars(PlanHandedOut(p)) /\ WF_vars(PlanReads(p))
           /\ WF_vars(PlanConcludes(p)) /\ WF_vars(PlanDone(p))
    /\ WF_vars(Settle) /\ WF_vars(CancelRequested)
    /\ \A k \in Keys : WF_vars(HandedOut(k)) /\ WF_vars(StepDone(k))
    /\ \A n \in Nodes : WF_vars(CreateAsks(n)) /\ WF_vars(CloudMakes(n))

FairSpec == Spec /\ Fair

---------------------------------------------------------------------------------------------------
(* What must hold. *)

IsOver == operation # "running"

StoredOnce == ~twice   \* I6

(* Whoever waits for the end of an operation may rely on that nothing of it runs. *)
EndsQuietly == IsOver => ~Busy /\ PlansOut = {}

(* What was made is in use, or gone, or reported, or left to the delete that waits: that *)
(* deletes every node that is known (planner/remove.py), and nothing comes after it.     *)
NothingLeft ==
    /\ operation \in {"cancelled", "failed"} => \A n \in Nodes : there[n] \/ n \in stray =>
           n \in residue \/ (Superseded /\ wish # "none" /\ n \notin stray
                             /\ instance[n] \notin {"none", "deleted"})
    /\ operation = "succeeded" => \A n \in Nodes : there[n] /\ instance[n] = "ready"

(* No plan runs into a dead end, and nobody waits for nothing. *)
NoDeadEnd == ending.state # "stuck"
NeverAsleep == ~IsOver /\ ending = NoEnding => asked \/ PlansOut # {} \/ Open # {}

Ends == <>IsOver

Symmetry == Permutations(Nodes)
===================================================================================================
