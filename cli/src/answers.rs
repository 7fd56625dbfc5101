//! What the test tools answer when a policy asks the outside.
//!
//! In this order: an answer that a file of answers has ready (`-answers=FILE`); what the configuration
//! itself knows (the general text file); nothing more where `-nocallouts` is given; then the drivers. What
//! no driver can answer is [`Answer::NotConfigured`], which fails as a missing entry would and shows its
//! reason in the trace.
//!
//! A file of answers has one JSON object a line. `ask` is the question as the trace prints it after
//! `asks: `; where a question is on several lines, the answers are given in that order and the last is
//! repeated:
//!
//! ```text
//! {"ask": "check_metermaid.so,throttle,ip,192.0.2.1", "answer": {"Found": ""}}
//! {"ask": "URL ldap:///cn=x?mail", "answer": {"Temporary": "no server"}}
//! {"ask": "general database, key \"k\"", "answer": "NotFound"}
//! ```

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use policy::{Answer, Ask, Effect, Read};

use crate::argv::UsageError;
use crate::config::{self, Mappings};

/// The answers of a file, in the order they are given.
#[derive(Debug, Default)]
pub struct Ready(HashMap<String, VecDeque<Answer>>);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyLine {
    ask: String,
    answer: Answer,
}

impl Ready {
    /// Reads the file, where one is named.
    pub fn new(file: Option<&str>) -> Result<Self, UsageError> {
        let mut ready: HashMap<String, VecDeque<Answer>> = HashMap::new();
        if let Some(name) = file {
            let wrong = |why: String| UsageError::Other(format!("cannot use `-answers={name}`: {why}"));
            let text = config::read_text(Path::new(name)).map_err(&wrong)?;
            for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                let one: ReadyLine = serde_json::from_str(line).map_err(|error| {
                    wrong(format!(
                        "line {}: {error}; a line is {{\"ask\": \"...\", \"answer\": {{\"Found\": \"...\"}}}}",
                        n + 1
                    ))
                })?;
                ready.entry(one.ask).or_default().push_back(one.answer);
            }
        }
        Ok(Ready(ready))
    }

    /// The next answer to a question; the last one is repeated.
    pub fn take(&mut self, ask: &Ask) -> Option<Answer> {
        if self.0.is_empty() {
            return None;
        }
        let queue = self.0.get_mut(&ask.to_string())?;
        if queue.len() <= 1 {
            queue.front().cloned()
        } else {
            queue.pop_front()
        }
    }
}

/// Answers for one run of a tool that looks strings up.
#[derive(Debug, Default)]
pub struct Answers {
    ready: Ready,
    callouts_off: bool,
}

impl Answers {
    /// Answers from a file, where one is named, and from drivers unless `callouts_off`.
    pub fn new(file: Option<&str>, callouts_off: bool) -> Result<Self, UsageError> {
        Ok(Answers {
            ready: Ready::new(file)?,
            callouts_off,
        })
    }

    /// Answers one question.
    pub fn answer(&mut self, ask: &Ask, mappings: &Mappings) -> Answer {
        if let Some(answer) = self.ready.take(ask) {
            return answer;
        }
        match ask {
            Ask::Read(Read::General { key }) => match &mappings.general {
                Some(general) => match general.get(&key.to_lowercase()) {
                    Some(template) => Answer::Found(template.clone()),
                    None => Answer::NotFound,
                },
                None => Answer::NotConfigured("there is no general.txt beside the mapping file".into()),
            },
            _ if self.callouts_off => Answer::NotConfigured("callouts are switched off".into()),
            Ask::Effect(Effect::Sequence { file }) => {
                match mta::callout::sequence::next_of(&mappings.directory, file) {
                    Ok(number) => Answer::Found(number.to_string()),
                    Err(error) => Answer::NotConfigured(error.to_string()),
                }
            }
            Ask::Read(_) | Ask::Effect(_) => {
                Answer::NotConfigured("this tool cannot ask that; give an answer with `-answers=FILE`".into())
            }
        }
    }
}
