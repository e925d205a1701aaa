//! The life cycle, explored: every order of what a plugin, a caller and the machine's driver can do.
//!
//! docs/model.md says what is real here and what is a model, and how large the bound is.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod explore;
mod saboteur;
mod world;

use std::collections::BTreeSet;

use explore::{Explored, Way, explore, replay};
use plugin_conformance::conformance::invariants::INVARIANTS;
use saboteur::{HONEST, SABOTEURS, Saboteur};
use world::Bound;

/// Two stops, a kill, and a second life; a drop and a crash in each life at most, as there is one
/// caller and one process.
const BOUND: Bound = Bound { stops: 2, kills: 1, restarts: 1 };

/// What breaks one invariant does so without second tries.
const SMALL: Bound = Bound { stops: 1, kills: 1, restarts: 0 };

fn explored(bound: Bound, saboteur: &Saboteur) -> Explored {
    let mut explored = Explored::default();
    for with_api in [true, false] {
        explore(with_api, bound, saboteur, &mut explored);
    }
    explored
}

#[test]
fn every_order_up_to_the_bound_keeps_every_invariant() {
    let explored = explored(BOUND, &HONEST);
    for breach in explored.breaches.values() {
        let (words, _) = replay(&breach.way, BOUND, &HONEST);
        eprintln!("PLUGIN_CONFORMANCE_MODEL={} replays:\n{words}", breach.way);
    }
    assert!(explored.breaches.is_empty(), "{:?}", explored.breaches.keys());
    // A smaller number means that something is not looked at any more. Say the new numbers in
    // docs/model.md too.
    assert_eq!((explored.states, explored.transitions, explored.depth), (76_476, 205_137, 35));
}

/// `PLUGIN_CONFORMANCE_MODEL=api:0.2.1 cargo nextest run --no-capture -E 'test(replays_a_way)'`
#[test]
fn replays_a_way_of_the_environment() {
    let Ok(way) = std::env::var("PLUGIN_CONFORMANCE_MODEL") else { return };
    let way: Way = way.parse().unwrap();
    let (words, broken) = replay(&way, BOUND, &HONEST);
    eprintln!("{words}");
    assert_eq!(broken, None);
}

#[test]
fn every_invariant_has_a_saboteur_that_breaks_it_alone() {
    for saboteur in SABOTEURS {
        let explored = explored(SMALL, saboteur);
        let broken: Vec<_> = explored.breaches.keys().copied().collect();
        for breach in explored.breaches.values() {
            let (words, again) = replay(&breach.way, SMALL, saboteur);
            eprintln!("{}: {} ({:?})\n{words}", saboteur.does, breach.way, breach.fact);
            // The counter-example replays from its text, and the fault is its only cause.
            assert_eq!(breach.way.to_string().parse().as_ref(), Ok(&breach.way));
            assert_eq!(again, Some(breach.rule), "{}", saboteur.does);
            assert_eq!(replay(&breach.way, SMALL, &HONEST).1, None, "{}", saboteur.does);
        }
        assert_eq!(broken, [saboteur.breaks], "{}", saboteur.does);
    }
    let names: BTreeSet<_> = INVARIANTS.iter().map(|rule| rule.name).collect();
    let broken: BTreeSet<_> = SABOTEURS.iter().map(|saboteur| saboteur.breaks).collect();
    assert_eq!(broken, names, "the invariants and what the saboteurs break");
}

/// The shortest way is told in words.
#[test]
fn a_lost_stop_is_told_step_by_step() {
    let lost =
        SABOTEURS.iter().find(|saboteur| saboteur.does.starts_with("loses a stop of")).unwrap();
    let explored = explored(SMALL, lost);
    let (words, _) = replay(&explored.breaches["stop-ends"].way, SMALL, lost);
    for line in ["Implemented names", "a caller asks for a stop", "the driver hears the stop"] {
        assert!(words.contains(line), "{words}");
    }
    assert!(words.contains("nothing more happens\nbroken: stop-ends"), "{words}");
}
