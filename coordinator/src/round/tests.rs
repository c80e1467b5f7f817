use super::*;

fn id(n: usize) -> SiteId {
    SiteId::parse(&format!("s-{n}")).unwrap()
}

fn settings(min_sites: u32) -> Rounds {
    Rounds { min_sites, deadline_seconds: 10, gather_seconds: 5, attempts: 2 }
}

fn started(sites: usize, least: u32) -> Run {
    let mut run = Run::new(settings(least));
    for n in 0..sites {
        run.apply(Event::Joined(id(n)), Micros(0));
    }
    for n in 0..sites {
        run.apply(Event::Online(id(n)), Micros(0));
        run.apply(Event::Decided(id(n), Decision::Approved), Micros(0));
    }
    run
}

#[test]
fn a_round_begins_when_all_are_there_and_ends_when_all_answered() {
    let mut run = started(3, 2);
    assert_eq!(run.roster(), 3);
    for n in 0..2 {
        assert_eq!(run.apply(Event::Reported(id(n), Hash([n as u8; 32])), Micros(1)), [Action::Accept(id(n))]);
    }
    assert_eq!(run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(1)), [], "a second answer changes nothing");
    let last = run.apply(Event::Reported(id(2), Hash([2; 32])), Micros(2));
    assert_eq!(last, [Action::Accept(id(2)), Action::Checkpoint]);
    assert!(!run.apply(Event::Advanced, Micros(3)).is_empty(), "the next round is ordered at once");
}

#[test]
fn the_first_round_gathers_and_stragglers_are_left_behind_at_the_deadline() {
    let mut run = Run::new(settings(2));
    for n in 0..3 {
        run.apply(Event::Joined(id(n)), Micros(0));
    }
    for n in 0..2 {
        run.apply(Event::Online(id(n)), Micros(0));
        run.apply(Event::Decided(id(n), Decision::Approved), Micros(0));
    }
    assert_eq!(run.roster(), 0, "the third may still come");
    assert_eq!(run.apply(Event::Tick, Micros(5_000_000)).len(), 2);
    run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(5_000_000));
    let asked_again = run.apply(Event::Tick, Micros(15_000_000));
    assert_eq!(asked_again, [Action::Order(id(1))]);
    let failed = run.apply(Event::Tick, Micros(25_000_000));
    assert!(matches!(failed.as_slice(), [Action::Close(Outcome::Failed(_))]));
}

#[test]
fn a_site_that_returns_is_asked_again_and_a_refusal_takes_it_out() {
    let mut run = started(3, 2);
    run.apply(Event::Offline(id(1)), Micros(1));
    let back = run.apply(Event::Online(id(1)), Micros(2));
    assert_eq!(back, [Action::Offer(id(1)), Action::Order(id(1))]);
    run.apply(Event::Refused(id(2), "budget_spent".into()), Micros(3));
    run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(3));
    let last = run.apply(Event::Reported(id(1), Hash([1; 32])), Micros(3));
    assert_eq!(last, [Action::Accept(id(1)), Action::Checkpoint]);
}

#[test]
fn too_few_who_can_answer_is_a_failure_at_once() {
    let mut run = started(2, 2);
    let end = run.apply(Event::Refused(id(0), "budget_spent".into()), Micros(1));
    assert!(matches!(end.as_slice(), [Action::Close(Outcome::Failed(_))]), "{end:?}");
    assert!(run.apply(Event::Tick, Micros(2)).is_empty(), "closed is closed");
}

#[test]
fn revoked_sites_do_not_hold_a_round_up() {
    let mut run = started(3, 2);
    run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(1));
    run.apply(Event::Reported(id(1), Hash([1; 32])), Micros(1));
    assert_eq!(run.apply(Event::Revoked(id(2)), Micros(1)), [Action::Checkpoint]);
}

#[test]
fn a_site_that_paused_and_resumed_is_asked_again_at_once() {
    let mut run = started(3, 2);
    run.apply(Event::Decided(id(2), Decision::Paused), Micros(1));
    assert_eq!(run.apply(Event::Decided(id(2), Decision::Approved), Micros(2)), [Action::Order(id(2))]);
    assert_eq!(run.apply(Event::Decided(id(2), Decision::Approved), Micros(2)), [], "once is enough");
}

#[test]
fn with_too_few_enrolled_a_study_waits() {
    let mut run = started(2, 3);
    assert!(matches!(run.phase(), Phase::Selection { .. }));
    run.apply(Event::Joined(id(2)), Micros(1));
    run.apply(Event::Online(id(2)), Micros(1));
    assert_eq!(run.apply(Event::Decided(id(2), Decision::Approved), Micros(1)).len(), 3);
}

fn secure(threshold: Option<u32>, colluders: u32) -> Run {
    let mut privacy: study::spec::Privacy =
        serde_json::from_value(serde_json::json!({ "epsilon": 1.0, "aggregation": "secure", "reruns": 1 })).unwrap();
    (privacy.threshold, privacy.colluders) = (threshold, colluders);
    Run::of_plan(settings(3), privacy)
}

/// A coordinator that comes back inside an attempt waits for the sites of the attempt, though it has not heard of them yet.
#[test]
fn after_a_restart_a_site_that_is_not_back_yet_is_not_gone() {
    for step in [Step::Share, Step::Mask, Step::Consent, Step::Reveal] {
        let mut run = secure(None, 0);
        run.resume_secure(0, 3, step, (0..4).map(id).collect(), Micros(0));
        for n in 0..4 {
            assert_eq!(run.apply(Event::Joined(id(n)), Micros(1)), [], "{step:?}");
        }
        for n in 0..4 {
            let back = run.apply(Event::Online(id(n)), Micros(2));
            assert_eq!(back, [Action::Offer(id(n)), Action::Tell(id(n))], "{step:?}");
        }
        assert_eq!(run.past(), Past { next: 1, failed: 0, burned: 0 });
    }
}

#[test]
fn a_roster_is_cut_to_what_a_fixed_threshold_holds_for() {
    let begin = |threshold, colluders, sites: usize| {
        let mut run = secure(threshold, colluders);
        (0..sites).for_each(|n| drop(run.apply(Event::Joined(id(n)), Micros(0))));
        let mut begun = Vec::new();
        for n in 0..sites {
            begun.extend(run.apply(Event::Online(id(n)), Micros(0)));
            begun.extend(run.apply(Event::Decided(id(n), Decision::Approved), Micros(0)));
        }
        let rosters = begun.iter().filter_map(|a| match a {
            Action::Begin { roster, .. } => Some(roster.len()),
            _ => None,
        });
        (rosters.collect::<Vec<_>>(), run.attempt().map(|a| a.threshold))
    };
    assert_eq!(begin(Some(4), 0, 9), (vec![7], Some(4)), "2·4 > 7");
    assert_eq!(begin(Some(4), 1, 9), (vec![6], Some(4)));
    assert_eq!(begin(None, 0, 9), (vec![9], Some(7)));
    assert_eq!(begin(None, 6, 9), (vec![9], Some(8)), "2·8 > 9 + 6");
}

/// What was given up stays so, over a restart as well.
#[test]
fn failed_attempts_are_remembered() {
    let mut run = secure(None, 0);
    run.past_attempts(Past { next: 3, failed: 1, burned: 1 });
    run.resume_secure(3, 3, Step::Mask, (0..3).map(id).collect(), Micros(0));
    (0..3).for_each(|n| drop(run.apply(Event::Joined(id(n)), Micros(0))));
    let end = run.apply(Event::Stuck("for a reason".into()), Micros(1));
    assert!(matches!(end.as_slice(), [Action::Close(Outcome::Failed(_))]), "two attempts and one rerun were allowed");
    assert_eq!(run.past(), Past { next: 4, failed: 2, burned: 2 });
}

fn began(sites: usize) -> Run {
    let mut run = secure(None, 0);
    (0..sites).for_each(|n| drop(run.apply(Event::Joined(id(n)), Micros(0))));
    for n in 0..sites {
        run.apply(Event::Online(id(n)), Micros(0));
        run.apply(Event::Decided(id(n), Decision::Approved), Micros(0));
    }
    assert!(run.attempt().is_some());
    run
}

fn out(run: &Run) -> Vec<usize> {
    (0..9).filter(|n| run.sites().get(&id(*n)).is_some_and(|s| s.out.is_some())).collect()
}

/// A hospital that the others have not pinned is left out; the others go on, in an attempt that nothing was paid for and that counts
/// for nothing.
#[test]
fn a_stranger_is_left_out_and_not_those_who_say_so() {
    let mut run = began(5);
    for n in 0..4 {
        assert_eq!(run.apply(Event::Spoiled(id(n), vec![id(4)]), Micros(1)), []);
    }
    let actions = run.apply(Event::Spoiled(id(4), (0..4).map(id).collect()), Micros(1));
    assert!(matches!(actions.as_slice(), [Action::PutOut(who, _), Action::Abandon] if *who == id(4)), "{actions:?}");
    let again = run.apply(Event::Tick, Micros(2));
    assert!(matches!(again.as_slice(), [Action::Begin { attempt: 1, roster }] if roster.len() == 4), "{again:?}");
    assert_eq!((out(&run), run.past().failed), (vec![4], 0));
}

/// One who alone complains of many goes; so does one whose shares open for nobody.
#[test]
fn whoever_stands_in_most_complaints_goes() {
    let mut run = began(5);
    run.apply(Event::Spoiled(id(2), (0..5).map(id).collect()), Micros(1));
    for n in [0, 1, 3, 4] {
        run.apply(Event::Stepped(id(n), Step::Advertise), Micros(1));
    }
    assert_eq!(out(&run), Vec::<usize>::new(), "the others are enough, and go on without it");
    assert!(run.attempt().is_some_and(|a| a.step == Step::Share && a.expected.len() == 4));
    for n in [0, 1, 3, 4] {
        run.apply(Event::Stepped(id(n), Step::Share), Micros(2));
    }
    for n in [0, 1, 3] {
        run.apply(Event::Spoiled(id(n), vec![id(4)]), Micros(3));
    }
    run.apply(Event::Stepped(id(4), Step::Mask), Micros(4));
    assert_eq!(out(&run), [2, 4]);
}

fn through(run: &mut Run, step: Step, sites: &[usize], at: i64) -> Vec<Action> {
    sites.iter().flat_map(|n| run.apply(Event::Stepped(id(*n), step), Micros(at))).collect()
}

/// One whose shares did not open for many is put out though the attempt came through without them.
#[test]
fn an_attempt_that_came_through_is_settled_too() {
    let ends_with = |complaints: &[(usize, usize)]| {
        let mut run = began(9);
        through(&mut run, Step::Advertise, &[0, 1, 2, 3, 4, 5, 6, 7, 8], 1);
        through(&mut run, Step::Share, &[0, 1, 2, 3, 4, 5, 6, 7, 8], 2);
        for (from, against) in complaints {
            run.apply(Event::Spoiled(id(*from), vec![id(*against)]), Micros(3));
        }
        let others: Vec<usize> = (0..9).filter(|n| complaints.iter().all(|(from, _)| from != n)).collect();
        for step in [Step::Mask, Step::Consent, Step::Reveal] {
            through(&mut run, step, &others, 4);
        }
        assert_eq!(*run.phase(), Phase::Merging);
        out(&run)
    };
    assert_eq!(ends_with(&[(0, 8), (1, 8)]), [8]);
    assert_eq!(ends_with(&[(0, 8)]), [0usize; 0], "one word against another");
    assert_eq!(ends_with(&[(0, 8), (1, 7)]), [0usize; 0]);
}

/// Of one word against another nobody can tell; the second time it can be told.
#[test]
fn complaints_of_earlier_attempts_count() {
    let mut run = began(4);
    let spoil = |run: &mut Run, from: usize, at| run.apply(Event::Spoiled(id(from), vec![id(3)]), Micros(at));
    let rest = |run: &mut Run, at| drop(through(run, Step::Advertise, &[0, 1, 2, 3], at));
    run.apply(Event::Offline(id(2)), Micros(1));
    spoil(&mut run, 0, 1);
    rest(&mut run, 1);
    run.apply(Event::Tick, Micros(700_000_000));
    assert_eq!(out(&run), [0], "the one who complains, of two");
    run.apply(Event::Online(id(2)), Micros(700_000_001));
    assert!(run.attempt().is_some(), "{:?}", run.phase());
    spoil(&mut run, 1, 700_000_002);
    through(&mut run, Step::Advertise, &[2, 3], 700_000_002);
    run.apply(Event::Tick, Micros(1_500_000_000));
    assert_eq!(out(&run), [0, 3]);
}

/// Where it can be told whose secrets did not come out, that site is out, and is still after a restart.
#[test]
fn who_shared_nothing_that_fits_is_out() {
    let mut run = began(5);
    for step in [Step::Advertise, Step::Share, Step::Mask, Step::Consent, Step::Reveal] {
        through(&mut run, step, &[0, 1, 2, 3, 4], 1);
    }
    let actions = run.apply(Event::Spoilt(Some(id(2)), "why".into()), Micros(2));
    assert!(
        matches!(actions.as_slice(), [Action::PutOut(who, _), Action::Abandon, ..] if *who == id(2)),
        "{actions:?}"
    );
    assert_eq!((out(&run), run.past().burned), (vec![2], 1));
    let mut again = secure(None, 0);
    again.put_out(&[(id(2), "why".to_owned())].into());
    again.apply(Event::Online(id(2)), Micros(3));
    assert_eq!(out(&again), [2]);
}

const DAY: i64 = 86_400_000_000;

#[test]
fn a_window_waits_for_its_time() {
    let mut run = Run::new(settings(2));
    run.wait_until(Micros(DAY), Micros(0));
    for n in 0..3 {
        run.apply(Event::Joined(id(n)), Micros(0));
        run.apply(Event::Online(id(n)), Micros(0));
        run.apply(Event::Decided(id(n), Decision::Approved), Micros(0));
    }
    assert_eq!(run.apply(Event::Tick, Micros(DAY - 1)), []);
    assert_eq!(run.apply(Event::Tick, Micros(DAY)), [0, 1, 2].map(|n| Action::Order(id(n))));
}

#[test]
fn a_window_that_too_few_answer_is_passed_over_and_whoever_was_kept_from_it_is_asked_for_the_next() {
    let mut run = started(3, 2);
    run.wait_until(Micros(0), Micros(0));
    run.apply(Event::Refused(id(1), "no_data: nothing was read yet".into()), Micros(1));
    run.apply(Event::Refused(id(2), "budget_spent: of 2026".into()), Micros(1));
    run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(1));
    // Nobody else can answer this one, but somebody may the next: it is not given up.
    assert_eq!(run.apply(Event::Tick, Micros(10_000_000)), []);
    assert_eq!(run.apply(Event::Tick, Micros(20_000_000)), [Action::PassOver]);
    let next = run.apply(Event::Advanced, Micros(20_000_000));
    assert_eq!(next, [0, 1].map(|n| Action::Order(id(n))), "who has spent its budget stays out");
}

#[test]
fn a_window_with_too_few_sites_there_is_passed_over_after_all_its_attempts_took() {
    let mut run = started(2, 2);
    run.wait_until(Micros(0), Micros(0));
    run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(1));
    run.apply(Event::Reported(id(1), Hash([1; 32])), Micros(1));
    run.apply(Event::Offline(id(1)), Micros(2));
    assert_eq!(run.apply(Event::Advanced, Micros(2)), []);
    run.wait_until(Micros(DAY), Micros(2));
    assert_eq!(run.apply(Event::Tick, Micros(DAY + 19_999_999)), []);
    assert_eq!(run.apply(Event::Tick, Micros(DAY + 20_000_000)), [Action::PassOver]);
    // After a restart it is gathered for as long as it takes, and nothing is passed over.
    let mut again = Run::new(settings(2));
    again.wait_until(Micros(DAY), Micros(DAY));
    again.apply(Event::Joined(id(0)), Micros(DAY));
    assert_eq!(again.apply(Event::Tick, Micros(3 * DAY)), []);
}

#[test]
fn without_hope_a_continuous_study_fails_like_any_other() {
    let mut run = started(2, 2);
    run.wait_until(Micros(0), Micros(0));
    let end = run.apply(Event::Refused(id(0), "quality_gate: dates".into()), Micros(1));
    assert!(matches!(end.as_slice(), [Action::Close(Outcome::Failed(_))]), "{end:?}");
}

/// Rounds of one site each: in the order of ids, over and over; one that refuses or does not come is passed over.
#[test]
fn one_site_after_the_other_has_its_turn() {
    let mut run = Run::new(settings(3));
    run.set_turn(Some(4));
    for n in 0..3 {
        run.apply(Event::Joined(id(n)), Micros(0));
        run.apply(Event::Online(id(n)), Micros(0));
    }
    let mut last = Vec::new();
    for n in 0..3 {
        last = run.apply(Event::Decided(id(n), Decision::Approved), Micros(0));
    }
    assert_eq!(last, [Action::Order(id(1))]);
    assert_eq!(run.apply(Event::Reported(id(0), Hash([0; 32])), Micros(1)), [], "it was not asked");
    let taken = run.apply(Event::Reported(id(1), Hash([1; 32])), Micros(1));
    assert_eq!(taken, [Action::Accept(id(1)), Action::Checkpoint]);
    run.set_turn(Some(5));
    assert_eq!(run.apply(Event::Advanced, Micros(2)), [Action::Order(id(2))]);
    assert_eq!(run.apply(Event::Refused(id(2), "budget_spent".into()), Micros(3)), [Action::Order(id(0))]);
    run.apply(Event::Joined(id(7)), Micros(3));
    run.apply(Event::Online(id(7)), Micros(3));
    assert_eq!(run.apply(Event::Decided(id(7), Decision::Approved), Micros(3)), [], "its turn comes");
    let taken = run.apply(Event::Reported(id(0), Hash([1; 32])), Micros(4));
    assert_eq!(taken, [Action::Accept(id(0)), Action::Checkpoint]);
    run.set_turn(None);
    assert_eq!(run.apply(Event::Advanced, Micros(5)).len(), 3, "then it is all sites' again");
}
