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
