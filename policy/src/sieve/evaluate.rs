//! Tests.

use grammar::Span;

use super::frame::{Frame, Halt, Seen};
use super::matching::{Values, What};
use super::outcome::Remember;
use super::program::{DuplicateId, Matching, Slot, Str, Test};
use super::uri;
use crate::ask::{Answer, Ask, Read};
use crate::machine::Context;
use crate::message::field;
use crate::trace::Kind;

/// Seconds for which a duplicate is remembered where the test does not say.
const DUPLICATE_DEFAULT: u64 = 7 * 86_400;

/// The longest it is remembered.
const DUPLICATE_MAXIMUM: u64 = 90 * 86_400;

impl Frame {
    pub(super) fn evaluate(
        &mut self,
        cx: &mut Context<'_>,
        test: &Test,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        if let Some(matching) = test.matching() {
            // an included script may see a part as its message
            if let Some(asked) = matching.asked.as_ref().filter(|_| self.root().is_none()) {
                return self.shared(cx, test, (matching, asked), span, answers);
            }
            let values = self.gather(cx, test, span)?;
            return self.compare(cx, matching, &values, test.what(), span, answers);
        }
        let (matching, values, what) = match test {
            Test::Header { .. } | Test::Address { .. } | Test::Envelope { .. } | Test::Body { .. } => {
                return Ok(false);
            }
            Test::String { sources, matching } => {
                let texts = self.render_all(cx, sources, span)?;
                let count = Some(texts.iter().filter(|t| !t.is_empty()).count());
                (
                    matching,
                    Values {
                        count,
                        ..Values::of(texts)
                    },
                    What("string", sources),
                )
            }
            Test::HasFlag { variables, matching } => {
                return self.has_flag(cx, variables.as_deref(), matching, span);
            }
            Test::Date {
                field,
                zone,
                part,
                matching,
                index,
            } => (
                matching,
                self.date_values(cx, (field, part), zone, *index, span)?,
                What("date", std::slice::from_ref(field)),
            ),
            Test::CurrentDate { zone, part, matching } => (
                matching,
                self.now_values(cx, zone, part, span)?,
                What("currentdate", std::slice::from_ref(part)),
            ),
            Test::Environment { item, matching } => {
                let named = std::slice::from_ref(item);
                let item = self.render(cx, item, span)?;
                (
                    matching,
                    Values::of(self.environment(&item).into_iter().collect()),
                    What("environment", named),
                )
            }
            Test::Spam { percent, matching } => {
                let spam = &self.spam;
                let count = Some(usize::from(spam.tested));
                (
                    matching,
                    Values {
                        count,
                        ..Values::of(vec![spam.value(*percent)])
                    },
                    What("spamtest", &[]),
                )
            }
            Test::Virus { matching } => {
                let value = self.virus.unwrap_or(0);
                let count = Some(usize::from(value > 0));
                (
                    matching,
                    Values {
                        count,
                        ..Values::of(vec![value.to_string()])
                    },
                    What("virustest", &[]),
                )
            }
            Test::Metadata {
                mailbox,
                annotation,
                matching,
            } => {
                let ask = self.metadata(cx, mailbox.as_ref(), annotation, span)?;
                let value = match ask_once(answers, || vec![ask])?.pop() {
                    Some(Answer::Found(value)) => vec![value],
                    Some(Answer::Temporary(why)) => return Err(Halt::temporary(why, span)),
                    _ => Vec::new(),
                };
                (
                    matching,
                    Values::of(value),
                    What("metadata", std::slice::from_ref(annotation)),
                )
            }
            Test::NotifyCapability {
                uri,
                capability,
                matching,
            } => {
                let uri = self.render(cx, uri, span)?;
                let capability = self.render(cx, capability, span)?;
                let known = uri::bad_method(&uri, &self.request.notify_methods).is_none()
                    && capability.eq_ignore_ascii_case("online");
                // Nobody can say whether a person is there.
                let value = known.then(|| "maybe".to_owned());
                (
                    matching,
                    Values::of(value.into_iter().collect()),
                    What("notify_method_capability", &[]),
                )
            }
            Test::Truth(value) => {
                let found = self.value(cx, value, span)?.holds();
                return Ok(say(cx, span, "condition", found));
            }
            Test::Callout(callout) => return self.callout(cx, callout, span, answers),
            Test::Exists { names, mime } => {
                let found = self.exists(cx, names, mime.as_ref(), span)?;
                return Ok(say(cx, span, "exists", found));
            }
            Test::Size { over, limit } => {
                let size = self.size();
                let found = if *over { size > *limit } else { size < *limit };
                cx.trace.add(Kind::Test, Some(span), || {
                    let direction = if *over { ":over" } else { ":under" };
                    format!("size {direction} {limit}: {size}: {found}")
                });
                return Ok(found);
            }
            Test::Duplicate {
                handle,
                source,
                seconds,
                last,
            } => {
                return self.duplicate(cx, (handle, source), *seconds, *last, span, answers);
            }
            Test::MailboxExists { names } => {
                let names = self.render_all(cx, names, span)?;
                let asks = || {
                    names
                        .iter()
                        .map(|n| Ask::Read(Read::Mailbox { name: n.clone() }))
                        .collect()
                };
                return self.all_found(cx, answers, asks, "mailboxexists", span);
            }
            Test::MetadataExists { mailbox, annotations } => {
                let mut asks = Vec::new();
                for annotation in annotations {
                    asks.push(self.metadata(cx, mailbox.as_ref(), annotation, span)?);
                }
                return self.all_found(cx, answers, || asks, "metadataexists", span);
            }
            Test::SpecialUseExists { mailbox, flags } => {
                let mailbox = self.render_option(cx, mailbox.as_ref(), span)?;
                let flags = self.render_all(cx, flags, span)?;
                let one = |f: &String| {
                    Ask::Read(Read::SpecialUse {
                        mailbox: mailbox.clone(),
                        flag: f.clone(),
                    })
                };
                return self.all_found(
                    cx,
                    answers,
                    || flags.iter().map(one).collect(),
                    "specialuse_exists",
                    span,
                );
            }
            Test::MailboxIdExists { ids } => {
                let ids = self.render_all(cx, ids, span)?;
                let asks = || {
                    ids.iter()
                        .map(|id| Ask::Read(Read::MailboxId { id: id.clone() }))
                        .collect()
                };
                return self.all_found(cx, answers, asks, "mailboxidexists", span);
            }
            Test::ValidNotifyMethod { uris } => {
                let uris = self.render_all(cx, uris, span)?;
                let offered = &self.request.notify_methods;
                let found = uris.iter().all(|u| uri::bad_method(u, offered).is_none());
                return Ok(say(cx, span, "valid_notify_method", found));
            }
            Test::ValidList { uris } => {
                let uris = self.render_all(cx, uris, span)?;
                if !uris.iter().all(|u| uri::is_list(u)) {
                    return Ok(say(cx, span, "valid_ext_list", false));
                }
                let asks = || {
                    uris.iter()
                        .map(|u| Ask::Read(Read::ListExists { list: u.clone() }))
                        .collect()
                };
                return self.all_found(cx, answers, asks, "valid_ext_list", span);
            }
        };
        self.compare(cx, matching, &values, what, span, answers)
    }

    /// The values that a test of header, addresses, envelope or body looks at.
    pub(super) fn gather(&self, cx: &mut Context<'_>, test: &Test, span: Span) -> Result<Values, Halt> {
        match test {
            Test::Header {
                names, index, mime, ..
            } => self.header_values(cx, names, *index, mime.as_ref(), span),
            Test::Address {
                names,
                part,
                index,
                mime,
                ..
            } => self.address_values(cx, names, *part, *index, mime.as_ref(), span),
            Test::Envelope { parts, part, .. } => self.envelope_values(cx, parts, *part, span),
            Test::Body { transform, .. } => self.body_values(cx, transform, span),
            _ => Ok(Values::default()),
        }
    }

    /// Whether every question is answered with yes.
    fn all_found(
        &self,
        cx: &mut Context<'_>,
        answers: &mut Option<Vec<Answer>>,
        asks: impl FnOnce() -> Vec<Ask>,
        what: &str,
        span: Span,
    ) -> Result<bool, Halt> {
        for answer in ask_once(answers, asks)? {
            match answer {
                Answer::Found(_) => {}
                Answer::Temporary(why) => return Err(Halt::temporary(format!("{what}: {why}"), span)),
                Answer::NotFound | Answer::NotConfigured(_) => return Ok(say(cx, span, what, false)),
            }
        }
        Ok(say(cx, span, what, true))
    }

    fn metadata(
        &self,
        cx: &mut Context<'_>,
        mailbox: Option<&Str>,
        annotation: &Str,
        span: Span,
    ) -> Result<Ask, Halt> {
        let mailbox = self.render_option(cx, mailbox, span)?;
        let annotation = self.render(cx, annotation, span)?;
        Ok(Ask::Read(Read::Metadata { mailbox, annotation }))
    }

    fn has_flag(
        &mut self,
        cx: &mut Context<'_>,
        variables: Option<&[Slot]>,
        matching: &Matching,
        span: Span,
    ) -> Result<bool, Halt> {
        let flags = match variables {
            None => self.flags.clone(),
            Some(slots) => {
                let texts: Vec<String> = slots.iter().map(|s| self.variable(*s).into_owned()).collect();
                super::perform::split_flags(&texts)
            }
        };
        // A key with blanks is several flags.
        let keys = self.render_all(cx, &matching.keys, span)?;
        if !keys.iter().any(|k| k.contains(char::is_whitespace)) {
            return self.compare(
                cx,
                matching,
                &Values::of(flags),
                What("hasflag", &[]),
                span,
                &mut None,
            );
        }
        let keys = keys
            .iter()
            .flat_map(|k| k.split_whitespace())
            .map(|k| Str::Const(k.into()))
            .collect();
        let split = Matching {
            comparator: matching.comparator,
            how: matching.how,
            keys,
            ready: super::program::Ready::No,
            asked: None,
        };
        self.compare(
            cx,
            &split,
            &Values::of(flags),
            What("hasflag", &[]),
            span,
            &mut None,
        )
    }

    /// An item of the environment.
    fn environment(&self, item: &str) -> Option<String> {
        let item = item.to_ascii_lowercase();
        if item == "vnd.oracle.last-verdict" {
            return self.request.last_verdict.map(|v| v.word().to_owned());
        }
        self.request.environment.get(&item).cloned()
    }

    fn duplicate(
        &mut self,
        cx: &mut Context<'_>,
        (handle, source): (&Str, &DuplicateId),
        seconds: Option<u64>,
        last: bool,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let handle = self.render(cx, handle, span)?;
        let id = match source {
            DuplicateId::Unique(id) => Some(self.render(cx, id, span)?),
            DuplicateId::MessageId => self.field_text("message-id"),
            DuplicateId::Header(name) => {
                let name = self.render(cx, name, span)?;
                field::is_name(&name).then(|| self.field_text(&name)).flatten()
            }
        };
        let seconds = seconds.unwrap_or(DUPLICATE_DEFAULT).min(DUPLICATE_MAXIMUM);
        let Some(id) = id.filter(|_| seconds > 0) else {
            return Ok(say(cx, span, "duplicate", false));
        };
        if let Some(known) = self.seen.iter().find(|s| s.handle == handle && s.id == id) {
            return Ok(say(cx, span, "duplicate", known.answer));
        }
        let most = self.request.limits.max_duplicates;
        if self.seen.len() >= most {
            return Err(Halt::fault(
                format!("more than MAX_DUPLICATES {most} duplicate tests"),
                span,
            ));
        }
        let asks = || {
            vec![Ask::Read(Read::Duplicate {
                owner: self.request.owner.clone(),
                handle: handle.clone(),
                id: id.clone(),
            })]
        };
        let answer = match ask_once(answers, asks)?.pop() {
            Some(Answer::Found(_)) => true,
            Some(Answer::Temporary(why)) => return Err(Halt::temporary(format!("duplicate: {why}"), span)),
            _ => false,
        };
        if !answer || last {
            self.remember.push(Remember {
                handle: handle.clone(),
                id: id.clone(),
                seconds,
            });
        }
        self.seen.push(Seen { handle, id, answer });
        Ok(say(cx, span, "duplicate", answer))
    }

    /// The first field of this name, decoded.
    pub(super) fn field_text(&self, name: &str) -> Option<String> {
        self.view().values(name).first().map(|v| v.decoded())
    }
}

/// The answers, or the wish to ask.
pub(super) fn ask_once(
    answers: &mut Option<Vec<Answer>>,
    asks: impl FnOnce() -> Vec<Ask>,
) -> Result<Vec<Answer>, Halt> {
    match answers.take() {
        Some(answers) => Ok(answers),
        None => {
            let asks = asks();
            if asks.is_empty() {
                Ok(Vec::new())
            } else {
                Err(Halt::Ask(asks))
            }
        }
    }
}

fn say(cx: &mut Context<'_>, span: Span, what: &str, found: bool) -> bool {
    cx.trace
        .add(Kind::Test, Some(span), || format!("{what}: {found}"));
    found
}
