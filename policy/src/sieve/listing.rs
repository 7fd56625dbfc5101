//! A program in readable form, one instruction a line.

use std::fmt;

use super::expression::Step;
use super::program::{Act, Callout, Matching, Op, Piece, Program, Script, Slot, Str, Target, Test};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for script in &self.scripts {
            let name = if script.name.is_empty() {
                "main"
            } else {
                &script.name
            };
            writeln!(f, "script {name}")?;
            let names = Names {
                script,
                globals: &self.globals,
            };
            for (at, instruction) in script.code.iter().enumerate() {
                writeln!(f, "{at:5}  {}", names.op(&instruction.op))?;
            }
        }
        Ok(())
    }
}

/// Names for the slots of variables.
struct Names<'a> {
    script: &'a Script,
    globals: &'a [String],
}

impl Names<'_> {
    fn op(&self, op: &Op) -> String {
        match op {
            Op::Jump(to) => format!("jump {to}"),
            Op::Branch { when, to } => format!("if {when} jump {to}"),
            Op::Not => "not".to_owned(),
            Op::Flag(value) => format!("test {value}"),
            Op::Test(test) => format!("test {}", self.test(test)),
            Op::Act(act) => self.act(act),
            Op::Stop => "stop".to_owned(),
            Op::Return => "return".to_owned(),
            Op::Error(message) => format!("error {}", self.string(message)),
            Op::EnterLoop { .. } => "enter loop".to_owned(),
            Op::NextPart { exit } => format!("next part or jump {exit}"),
            Op::EnterPasses => "enter passes".to_owned(),
            Op::NextPass => "next pass".to_owned(),
            Op::Grant(bits) => format!("grant {bits:x}"),
            Op::Need(bits) => format!("need {bits:x}"),
            Op::LeaveLoops(n) => format!("leave {n} loops"),
            Op::Include(include) => format!("include {}", include.name),
        }
    }

    fn slot(&self, slot: Slot) -> String {
        match slot {
            Slot::Local(at) => self.script.locals.get(at).cloned().unwrap_or_default(),
            Slot::Global(at) => format!("global.{}", self.globals.get(at).map_or("", String::as_str)),
        }
    }

    fn string(&self, string: &Str) -> String {
        let pieces = match string {
            Str::Const(text) => return format!("\"{}\"", text.escape_debug()),
            Str::Template(pieces) => pieces,
            Str::Computed(steps) => {
                let one = |(step, _): &(Step, _)| match step {
                    Step::Variable(slot) => self.slot(*slot),
                    Step::Text(text) => self.string(text),
                    Step::Binary(operator) => (*operator).to_owned(),
                    Step::Number(n) => n.to_string(),
                    other => format!("{other:?}").to_lowercase(),
                };
                return format!("({})", steps.iter().map(one).collect::<Vec<_>>().join(" "));
            }
        };
        let one = |p: &Piece| match p {
            Piece::Text(text) => text.escape_debug().to_string(),
            Piece::Variable(slot) => format!("${{{}}}", self.slot(*slot)),
            Piece::Match(n) => format!("${{{n}}}"),
        };
        format!("\"{}\"", pieces.iter().map(one).collect::<String>())
    }

    fn list(&self, strings: &[Str]) -> String {
        let all: Vec<String> = strings.iter().map(|s| self.string(s)).collect();
        match all.as_slice() {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        }
    }

    fn matching(&self, m: &Matching) -> String {
        format!("{:?} {:?} {}", m.how, m.comparator, self.list(&m.keys)).to_lowercase()
    }

    fn test(&self, test: &Test) -> String {
        match test {
            Test::Header { names, matching, .. } => {
                format!("header {} {}", self.list(names), self.matching(matching))
            }
            Test::Address {
                names,
                part,
                matching,
                ..
            } => {
                format!(
                    "address {part:?} {} {}",
                    self.list(names),
                    self.matching(matching)
                )
            }
            Test::Envelope {
                parts,
                part,
                matching,
            } => {
                format!(
                    "envelope {part:?} {} {}",
                    self.list(parts),
                    self.matching(matching)
                )
            }
            Test::Truth(value) => format!("condition {}", self.string(value)),
            Test::Callout(callout) => callout_text(callout, &self.string(&callout.key)),
            Test::Exists { names, .. } => format!("exists {}", self.list(names)),
            Test::Size { over, limit } => format!("size {} {limit}", if *over { "over" } else { "under" }),
            Test::String { sources, matching } => {
                format!("string {} {}", self.list(sources), self.matching(matching))
            }
            Test::HasFlag { matching, .. } => format!("hasflag {}", self.matching(matching)),
            Test::Body { matching, .. } => format!("body {}", self.matching(matching)),
            Test::Date {
                field,
                part,
                matching,
                ..
            } => {
                format!(
                    "date {} {} {}",
                    self.string(field),
                    self.string(part),
                    self.matching(matching)
                )
            }
            Test::CurrentDate { part, matching, .. } => {
                format!("currentdate {} {}", self.string(part), self.matching(matching))
            }
            Test::Environment { item, matching } => {
                format!("environment {} {}", self.string(item), self.matching(matching))
            }
            Test::Spam { matching, .. } => format!("spamtest {}", self.matching(matching)),
            Test::Virus { matching } => format!("virustest {}", self.matching(matching)),
            Test::Duplicate { handle, .. } => format!("duplicate {}", self.string(handle)),
            Test::MailboxExists { names } => format!("mailboxexists {}", self.list(names)),
            Test::Metadata {
                annotation, matching, ..
            } => {
                format!("metadata {} {}", self.string(annotation), self.matching(matching))
            }
            Test::MetadataExists { annotations, .. } => format!("metadataexists {}", self.list(annotations)),
            Test::SpecialUseExists { flags, .. } => format!("specialuse_exists {}", self.list(flags)),
            Test::MailboxIdExists { ids } => format!("mailboxidexists {}", self.list(ids)),
            Test::ValidNotifyMethod { uris } => format!("valid_notify_method {}", self.list(uris)),
            Test::NotifyCapability { uri, matching, .. } => {
                format!(
                    "notify_method_capability {} {}",
                    self.string(uri),
                    self.matching(matching)
                )
            }
            Test::ValidList { uris } => format!("valid_ext_list {}", self.list(uris)),
        }
    }

    fn act(&self, act: &Act) -> String {
        match act {
            Act::Keep { .. } => "keep".to_owned(),
            Act::FileInto { mailbox, copy, .. } => {
                format!(
                    "fileinto {}{}",
                    if *copy { "copy " } else { "" },
                    self.string(mailbox)
                )
            }
            Act::Redirect(redirect) => match &redirect.target {
                Target::Address(to) => format!("redirect {}", self.string(to)),
                Target::List(list) => format!("redirect list {}", self.string(list)),
            },
            Act::Assign { slot, value } => format!("{} = {}", self.slot(*slot), self.string(value)),
            Act::Callout(callout) => callout_text(callout, &self.string(&callout.key)),
            Act::Discard => "discard".to_owned(),
            Act::Reject { reason, extended } => {
                format!(
                    "{} {}",
                    if *extended { "ereject" } else { "reject" },
                    self.string(reason)
                )
            }
            Act::Set {
                slot,
                modifiers,
                value,
            } => {
                format!("set {} {modifiers:?} {}", self.slot(*slot), self.string(value))
            }
            Act::ChangeFlags { change, flags, .. } => {
                format!("{change:?} flags {}", self.list(flags)).to_lowercase()
            }
            Act::Vacation(vacation) => format!("vacation {}", self.string(&vacation.reason)),
            Act::AddHeader { name, value, .. } => {
                format!("addheader {} {}", self.string(name), self.string(value))
            }
            Act::DeleteHeader { name, .. } => format!("deleteheader {}", self.string(name)),
            Act::ReplaceHeader { name, .. } => format!("replaceheader {}", self.string(name)),
            Act::Notify { method, .. } => format!("notify {}", self.string(method)),
            Act::ExtractText { slot, .. } => format!("extracttext {}", self.slot(*slot)),
            Act::Replace { .. } => "replace".to_owned(),
            Act::Enclose { .. } => "enclose".to_owned(),
            Act::Private { action, strings, .. } => {
                format!("{action:?} {}", self.list(strings)).to_lowercase()
            }
        }
    }
}

fn callout_text(callout: &Callout, key: &str) -> String {
    let name = if callout.memcache { "memcache" } else { "metermaid" };
    format!("{name} {} {key}", callout.operation)
}

#[cfg(test)]
mod tests {
    use grammar::Sources;

    use crate::sieve::{NoLibrary, Options, compile};

    #[test]
    fn lists_a_program() {
        let mut sources = Sources::new();
        let script = "require [\"fileinto\", \"variables\"];\nif anyof(header :contains \"subject\" [\"a\", \"b\"], not exists \"to\") \
                      { set \"n\" \"x\"; fileinto \"${n}-${1}\"; }\nelse { stop; }";
        let file = sources.add("s", script);
        let (program, _) = compile(&mut sources, file, &NoLibrary, &Options::default()).unwrap();
        let want = "script main
    0  test header \"subject\" contains asciicasemap [\"a\", \"b\"]
    1  if true jump 4
    2  test exists \"to\"
    3  not
    4  if false jump 8
    5  set n [] \"x\"
    6  fileinto \"${n}-${1}\"
    7  jump 9
    8  stop
    9  return
";
        assert_eq!(program.to_string(), want);
    }
}
