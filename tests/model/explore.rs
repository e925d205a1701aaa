//! Visits every state that the world can reach, nearest first.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use plugin_conformance::conformance::invariants::{Fact, History, INVARIANTS, Invariant};

use super::saboteur::Saboteur;
use super::world::{Bound, Choice, World};

/// A way through the world: with an API server or without, and the number of each choice.
///
/// Its text, `api:0.2.1` or `alone:0.2.1`, replays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub with_api: bool,
    pub choices: Vec<usize>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<_> = self.choices.iter().map(usize::to_string).collect();
        write!(f, "{}:{}", if self.with_api { "api" } else { "alone" }, choices.join("."))
    }
}

impl std::str::FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no way through the model, such as api:0.2.1");
        let (world, choices) = text.split_once(':').ok_or_else(wrong)?;
        let with_api = match world {
            "api" => true,
            "alone" => false,
            _ => return Err(wrong()),
        };
        let choices = choices.split('.').filter(|choice| !choice.is_empty());
        let choices = choices.map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(Self { with_api, choices })
    }
}

/// An invariant that was broken, and the shortest way there.
#[derive(Debug, Clone)]
pub struct Breach {
    pub rule: &'static str,
    pub fact: Fact,
    pub way: Way,
}

/// What an exploration has seen.
#[derive(Debug, Default)]
pub struct Explored {
    pub states: usize,
    pub transitions: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// The first breach of each rule.
    pub breaches: BTreeMap<&'static str, Breach>,
}

struct Node {
    world: World,
    past: History,
    from: Option<(usize, usize)>,
    depth: usize,
}

fn way(nodes: &[Node], mut at: usize, last: Option<usize>, with_api: bool) -> Way {
    let mut choices: Vec<_> = last.into_iter().collect();
    while let Some((parent, choice)) = nodes[at].from {
        choices.push(choice);
        at = parent;
    }
    choices.reverse();
    Way { with_api, choices }
}

/// The rules that a fact breaks.
fn broken(past: &History, fact: Fact) -> impl Iterator<Item = &'static Invariant> {
    INVARIANTS.iter().filter(move |rule| !(rule.holds)(past, fact))
}

/// Breadth first from one world. A way ends where an invariant breaks.
pub fn explore(with_api: bool, bound: Bound, saboteur: &Saboteur, explored: &mut Explored) {
    let world = World::new(with_api, bound);
    let past = world.no_past();
    let mut known = HashSet::from([(world.clone(), past)]);
    let mut nodes = vec![Node { world, past, from: None, depth: 0 }];
    let mut facts = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        let depth = nodes[at].depth + 1;
        if nodes[at].world.own_choices().is_empty() {
            for rule in broken(&nodes[at].past, Fact::Quiet) {
                explored.breaches.entry(rule.name).or_insert_with(|| Breach {
                    rule: rule.name,
                    fact: Fact::Quiet,
                    way: way(&nodes, at, None, with_api),
                });
            }
        }
        for (number, choice) in nodes[at].world.choices().into_iter().enumerate() {
            explored.transitions += 1;
            let (mut world, mut past) = (nodes[at].world.clone(), nodes[at].past);
            facts.clear();
            world.take(choice, saboteur, &mut facts);
            if choice == Choice::Restart {
                past = world.no_past();
            }
            let mut whole = true;
            for &fact in &facts {
                for rule in broken(&past, fact) {
                    whole = false;
                    explored.breaches.entry(rule.name).or_insert_with(|| Breach {
                        rule: rule.name,
                        fact,
                        way: way(&nodes, at, Some(number), with_api),
                    });
                }
                past.add(fact);
                if !whole {
                    break;
                }
            }
            if whole && known.insert((world.clone(), past)) {
                nodes.push(Node { world, past, from: Some((at, number)), depth });
                explored.depth = explored.depth.max(depth);
            }
        }
        at += 1;
    }
    explored.states += nodes.len();
}

/// Walks a way: what happens, in words, and the rule that breaks on it.
pub fn replay(way: &Way, bound: Bound, saboteur: &Saboteur) -> (String, Option<&'static str>) {
    use std::fmt::Write as _;

    let mut world = World::new(way.with_api, bound);
    let mut past = world.no_past();
    let mut words = String::new();
    let mut facts = Vec::new();
    for &number in &way.choices {
        let Some(&choice) = world.choices().get(number) else {
            return (format!("{words}there is no choice {number} here\n"), None);
        };
        let _ = writeln!(words, "{choice}");
        facts.clear();
        world.take(choice, saboteur, &mut facts);
        if choice == Choice::Restart {
            past = world.no_past();
        }
        for &fact in &facts {
            let _ = writeln!(words, "    {fact:?}");
            if let Some(rule) = broken(&past, fact).next() {
                let _ = writeln!(words, "broken: {}: {}", rule.name, rule.says);
                return (words, Some(rule.name));
            }
            past.add(fact);
        }
    }
    if world.own_choices().is_empty()
        && let Some(rule) = broken(&past, Fact::Quiet).next()
    {
        let _ = writeln!(words, "nothing more happens\nbroken: {}: {}", rule.name, rule.says);
        return (words, Some(rule.name));
    }
    (words, None)
}
