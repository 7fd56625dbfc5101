//! The rewrite vectors of the specification: rules, aliases, REVERSE, FORWARD, without a server around them.

use std::collections::HashMap;

use policy::address::Address;
use policy::alias::ALIAS_DOMAINS;
use policy::forward::Forwarding;
use policy::mapping::{FlagSet, MappingResult};
use policy::reverse::{Lookup, Reversal};
use policy::rewrite::{Request, Rewritten, UNKNOWN_HOST};
use policy::site::{Site, Texts, load};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step, Trace};
use serde_json::Value;

/// Vectors believed to be wrong: id, reason, source.
const DISPUTED: &[(&str, &str, &str)] = &[];

/// Vectors that need something that is not built: id, what.
const NOT_YET: &[(&str, &str)] = &[];

struct Bench {
    site: Site,
    machine: Machine,
}

impl Bench {
    fn new(v: &Value) -> Self {
        let text = |name: &str| v[name].as_str().map(|t| (name.to_string(), t.to_string()));
        let mut options = String::new();
        for (name, value) in v["options"].as_object().into_iter().flatten() {
            options.push_str(&format!("{name}={value}\n"));
        }
        let texts = Texts {
            imta: text("imta_cnf"),
            mappings: text("mappings"),
            aliases: text("aliases"),
            general: text("general_database"),
            options: Some(("options".into(), options)),
            ..Texts::default()
        };
        let site = load(&texts, &|_: &str| Err("none".to_string())).unwrap_or_else(|e| {
            panic!("{}: {:?}", v["id"], e.diagnostics);
        });
        for said in &site.diagnostics {
            let never_runs = ["R015", "R016", "R017", "R018"].contains(&said.code);
            assert!(!never_runs, "{}: {}", v["id"], said.render(&site.sources, false));
        }
        let mut machine = Machine::new(site.program.clone(), Limits::default());
        machine.trace = Trace::on(false);
        Bench { site, machine }
    }

    fn run(&mut self) -> Outcome {
        let facts = Facts { now: 0, seed: 7 };
        loop {
            match self.machine.step(&facts) {
                Step::Done(done) => break done.unwrap(),
                Step::Ask(asks) => {
                    let answers = asks.iter().map(|ask| match ask {
                        Ask::Read(Read::General { key }) => {
                            match self.site.general.get(&key.to_lowercase()) {
                                Some(value) => Answer::Found(value.clone()),
                                None => Answer::NotFound,
                            }
                        }
                        _ => Answer::NotFound,
                    });
                    let answers = answers.collect();
                    self.machine.answer(answers).unwrap();
                }
            }
        }
    }

    fn rewrite(&mut self, request: Request) -> Rewritten {
        self.machine.start_rewrite(request);
        match self.run() {
            Outcome::Address(rewritten) => rewritten,
            other => panic!("{other:?}"),
        }
    }

    fn map(&mut self, lookup: &Lookup) -> MappingResult {
        let table = self.site.program.table(lookup.table).unwrap();
        self.machine.start_mapping(table, &lookup.probe, lookup.flags);
        match self.run() {
            Outcome::Mapping(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// The first final recipient.
    fn resolve(&mut self, request: &Request, level: i64) -> Rewritten {
        let rewritten = self.rewrite(request.clone());
        let Some(channel) = rewritten.channel.as_deref() else {
            return rewritten;
        };
        assert!(level < 20, "the aliases loop");
        let local = channel == self.site.channels[0].name;
        let settings = self.site.channel(channel).unwrap().settings.clone();
        if local || settings.alias_local {
            let address = Address::parse(&rewritten.address).unwrap();
            let domains = self.site.options.number("ALIAS_DOMAINS", ALIAS_DOMAINS);
            if let Some(found) = self
                .site
                .aliases
                .find(&address, domains, local, settings.subaddress)
            {
                let address = found.members[0].clone();
                return self.resolve(
                    &Request {
                        address,
                        ..request.clone()
                    },
                    level + 1,
                );
            }
        }
        let Self { site, .. } = &*self;
        let asked = forwarding(site, request, &rewritten.address).begin();
        let result = asked.map(|lookup| self.map(&lookup));
        let done = forwarding(&self.site, request, &rewritten.address).finish(result.as_ref());
        match done.addresses.first() {
            Some(address) if done.again => {
                let address = address.clone();
                self.resolve(
                    &Request {
                        address,
                        ..request.clone()
                    },
                    level + 1,
                )
            }
            Some(address) => Rewritten {
                address: address.clone(),
                ..rewritten
            },
            None => rewritten,
        }
    }

    /// The address as a vector asks for it.
    fn answer(&mut self, v: &Value) -> Rewritten {
        let text = |name: &str| v[name].as_str().unwrap_or("").to_string();
        let (envelope, forward) = match v["direction"].as_str().unwrap() {
            "envelope-to" => (true, true),
            "envelope-from" => (true, false),
            "header-to" => (false, true),
            "header-from" => (false, false),
            other => panic!("{other}"),
        };
        let source_channel = match text("source_channel") {
            none if none.is_empty() => "l".to_string(),
            channel => channel,
        };
        let destination = text("destination_channel");
        let settings = self
            .site
            .channel(&source_channel)
            .map(|c| c.settings.clone())
            .unwrap_or_default();
        let request = Request {
            address: text("address"),
            envelope,
            forward,
            source_channel,
            destination_channel: (!destination.is_empty()).then(|| destination.clone()),
            binding: settings.binding,
            ..Request::default()
        };
        if envelope && forward {
            return self.resolve(&request, 0);
        }
        let rewritten = self.rewrite(request.clone());
        if rewritten.channel.is_none() {
            return rewritten;
        }
        let begun = reversal(&self.site, &request, &rewritten.address).begin();
        let result = begun.lookup.clone().map(|lookup| self.map(&lookup));
        let address = begun.finish(
            &reversal(&self.site, &request, &rewritten.address),
            result.as_ref(),
        );
        Rewritten {
            address: address.unwrap_or(rewritten.address.clone()),
            ..rewritten
        }
    }
}

fn reversal<'a>(site: &'a Site, request: &'a Request, address: &'a str) -> Reversal<'a> {
    Reversal {
        site,
        address,
        source_channel: &request.source_channel,
        destination_channel: request.destination_channel.as_deref().unwrap_or(""),
        envelope: request.envelope,
        forward: request.forward,
    }
}

fn forwarding<'a>(site: &'a Site, request: &'a Request, address: &'a str) -> Forwarding<'a> {
    Forwarding {
        site,
        address,
        source_channel: &request.source_channel,
        from: "postmaster@localhost",
        flags: FlagSet::default(),
        tags: &[],
    }
}

#[test]
fn rewrite_vectors() {
    let path = format!("{}/../tests/vectors/rewrite.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let vectors: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(vectors.len() >= 83);
    let listed: HashMap<&str, &str> = DISPUTED
        .iter()
        .map(|(id, why, _)| (*id, *why))
        .chain(NOT_YET.iter().copied())
        .collect();
    let ids: Vec<&str> = vectors.iter().map(|v| v["id"].as_str().unwrap()).collect();
    let mut problems: Vec<String> = Vec::new();
    for id in listed.keys().filter(|id| !ids.contains(id)) {
        problems.push(format!("{id} is listed and does not exist"));
    }
    for v in &vectors {
        let mut bench = Bench::new(v);
        let got = bench.answer(v);
        let error = got.error.as_ref().map(|e| e.text.as_str());
        let right = match v["error"].as_str() {
            Some(text) => got.channel.is_none() && error == Some(text),
            None => {
                v["result_address"] == got.address.as_str() && v["channel"].as_str() == got.channel.as_deref()
            }
        };
        match (right, listed.get(v["id"].as_str().unwrap())) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(why)) => problems.push(format!("{} passes and is listed: {why}", v["id"])),
            (false, None) => {
                let trace = policy::trace::render(bench.machine.trace.events(), &bench.site.sources);
                problems.push(format!(
                    "{}: {} gave {} on {:?}, {error:?}; want {} on {}, {}\n{trace}",
                    v["id"],
                    v["address"],
                    got.address,
                    got.channel,
                    v["result_address"],
                    v["channel"],
                    v["error"]
                ));
            }
        }
    }
    assert_eq!(UNKNOWN_HOST, "unknown host or domain");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
