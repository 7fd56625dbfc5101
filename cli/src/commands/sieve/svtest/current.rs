//! The script under test: loading it, running it, performing what it came to, and the settings it runs with.

use std::sync::Arc;

use grammar::Sources;
use grammar::sieve::Argument;
use policy::message::Message;
use policy::message::edit::render;
use policy::sieve::{Action, Level, compile};

use super::Runner;
use crate::commands::sieve::run::envelope;

/// A message that was sent.
pub(super) struct Sent {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message: Vec<u8>,
}

impl Runner {
    pub(super) fn load(&mut self, script: &str) -> bool {
        self.errors.clear();
        self.program = None;
        let path = self.folder.join(script);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.errors.push(format!("{}: {error}", path.display()));
                return false;
            }
        };
        let mut sources = Sources::new();
        let file = sources.add(path.display().to_string(), text);
        match compile(&mut sources, file, &self.library, &self.options) {
            Ok((program, _)) => {
                self.program = Some((Arc::new(program), Arc::new(sources)));
                true
            }
            Err(all) => {
                let errors = all.iter().filter(|d| d.severity == grammar::Severity::Error);
                self.errors = errors.map(|d| d.message.clone()).collect();
                false
            }
        }
    }

    pub(super) fn run_current(&mut self, append: bool) -> bool {
        let Some((program, sources)) = self.program.clone() else {
            self.errors = vec!["there is no current script".into()];
            return false;
        };
        self.errors.clear();
        let mut outcome = match self.evaluate(program, &sources, Level::User) {
            Ok(outcome) => outcome,
            Err(why) => {
                self.errors.push(why);
                return false;
            }
        };
        let count = outcome.actions.iter().filter(|p| !implicit(&p.action)).count();
        if self.max_actions > 0 && count > self.max_actions {
            self.errors
                .push(format!("{count} actions are more than {}", self.max_actions));
            return false;
        }
        self.errors
            .extend(outcome.error.as_ref().map(|f| f.message.clone()));
        if append && let Some((before, _)) = self.result.take() {
            let mut actions = before.actions;
            actions.retain(|p| !implicit(&p.action));
            actions.append(&mut outcome.actions);
            outcome.actions = actions;
        }
        let ran = outcome.error.is_none();
        self.result = Some((outcome, sources));
        ran
    }

    pub(super) fn execute(&mut self) -> bool {
        let Some((outcome, _)) = &self.result else {
            return false;
        };
        let mut done = true;
        for id in &outcome.remember {
            self.world.duplicates.insert((id.handle.clone(), id.id.clone()));
        }
        let from = self.envelope.from.clone();
        let to = self.envelope.to.clone();
        for performed in &outcome.actions {
            let bytes = render(&performed.message, performed.headers.as_ref());
            let mut send = |from: &str, to: &str, message: Vec<u8>| {
                self.sent.push(Sent {
                    from: from.into(),
                    to: to.into(),
                    message,
                });
            };
            let letter = |from: &str, to: &str, subject: &str, text: &str| {
                format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nAuto-Submitted: auto-replied\r\n\r\n{text}")
                    .into_bytes()
            };
            match &performed.action {
                Action::Keep { .. } => self.boxes.entry("INBOX".into()).or_default().push(bytes),
                Action::FileInto { mailbox, create, .. } => {
                    let there = *create
                        || mailbox.eq_ignore_ascii_case("INBOX")
                        || self.world.mailboxes.contains(mailbox);
                    done &= there;
                    let name = if there { mailbox.clone() } else { "INBOX".into() };
                    self.world.mailboxes.insert(name.clone());
                    self.boxes.entry(name).or_default().push(bytes);
                }
                Action::Redirect { address, .. } => send(&from, address, bytes),
                Action::Vacation {
                    reason,
                    subject,
                    from: own,
                    to: sender,
                    key,
                    ..
                } => {
                    let first = self.replied.insert((key.clone(), sender.clone()));
                    let own = own.as_deref().unwrap_or(&to);
                    let text = first.then(|| letter(own, sender, subject, reason));
                    text.into_iter().for_each(|text| send("", sender, text));
                }
                Action::Reject { reason } | Action::EReject { reason } if !from.is_empty() => {
                    send("", &from, letter(&to, &from, "Message rejected", reason));
                }
                Action::Notify { method, message, .. } => {
                    let target = method.strip_prefix("mailto:").unwrap_or(method);
                    let target = target.split('?').next().unwrap_or(target);
                    let text = message.clone().unwrap_or_default();
                    send("", target, letter(&to, target, &text, &text));
                }
                _ => {}
            }
        }
        done
    }

    pub(super) fn choose(&mut self, arguments: &[Argument], folder: &str) -> bool {
        let message = match Self::number(arguments, "smtp") {
            Some(n) => {
                let Some(sent) = self.sent.get(n) else {
                    return false;
                };
                self.envelope = envelope(sent.from.clone(), sent.to.clone());
                Some(sent.message.clone())
            }
            None => Self::number(arguments, "folder").and_then(|n| self.boxes.get(folder)?.get(n).cloned()),
        };
        let Some(message) = message else { return false };
        self.message = Arc::new(Message::new(message));
        self.headers = None;
        true
    }

    /// Applies a setting; `false` where there is none like it.
    pub(super) fn configure(&mut self, name: &str, value: Option<&str>) -> bool {
        let number = |default: usize| {
            value
                .and_then(|v| v.trim().parse::<usize>().ok())
                .unwrap_or(default)
        };
        let most = |n: usize| if n == 0 { usize::MAX } else { n };
        match name {
            "sieve_max_actions" => self.max_actions = number(32),
            "sieve_max_redirects" => self.options.limits.max_redirects = most(number(4)),
            "sieve_variables_max_value_size" | "sieve_variables_max_variable_size" => {
                self.options.limits.max_value = number(4000);
            }
            "recipient_delimiter" => self.subaddress = value.and_then(|v| v.chars().next()).unwrap_or('+'),
            "sieve_user_email" => self.owner = value.map(str::to_owned),
            "sieve_vacation_min_period" => {
                let text = value.unwrap_or("0");
                let (digits, unit) =
                    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let factor = match unit.trim() {
                    "d" => 86_400,
                    "h" => 3600,
                    "m" => 60,
                    _ => 1,
                };
                self.options.limits.vacation_minimum =
                    digits.parse::<u64>().unwrap_or(0).saturating_mul(factor);
            }
            _ => match name.strip_prefix("sieve_environment/") {
                Some(item) => {
                    let value = value.unwrap_or_default().to_string();
                    self.environment.insert(item.to_ascii_lowercase(), value);
                }
                None => return false,
            },
        }
        true
    }
}

/// The name by which test suites know an action.
pub(super) fn action_name(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    match value["action"].as_str().unwrap_or_default() {
        "fileinto" => "store".into(),
        other => other.into(),
    }
}

pub(super) fn implicit(action: &Action) -> bool {
    matches!(action, Action::Keep { implicit: true, .. })
}
