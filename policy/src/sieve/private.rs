//! The product's own actions (specification B4 and B5).

use grammar::Span;

use super::frame::{Frame, Halt};
use super::outcome::Action;
use super::program::{Private, Str};
use crate::machine::Context;
use crate::message::address;

impl Frame {
    pub(super) fn private(
        &mut self,
        cx: &mut Context<'_>,
        action: Private,
        strings: &[Str],
        number: Option<u64>,
        span: Span,
    ) -> Result<(), Halt> {
        let texts = self.render_all(cx, strings, span)?;
        let first = texts.first().cloned().unwrap_or_default();
        let everybody = matches!(
            action,
            Private::AddTag | Private::AddPrefix | Private::AddSuffix | Private::SpamAdjust
        );
        if !everybody {
            self.system_only(&format!("`{}`", name(action)), span)?;
        }
        let action = match action {
            Private::Jettison => {
                self.cancelled = true;
                Action::Jettison
            }
            Private::Refuse => {
                self.cancelled = true;
                self.rejected = true;
                Action::Refuse { reason: first }
            }
            Private::AddTag => {
                for tag in texts {
                    if tag.contains(['|', '\r', '\n']) {
                        return Err(Halt::fault(
                            format!("the tag \"{tag}\" holds a vertical bar or line end"),
                            span,
                        ));
                    }
                    self.tags.push(tag.clone());
                    self.done(cx, Action::AddTag { tag }, span);
                }
                return Ok(());
            }
            Private::AddPrefix => Action::AddPrefix { text: first },
            Private::AddSuffix => Action::AddSuffix { text: first },
            Private::SpamAdjust => {
                // The score is a result of its own; the list of actions holds what is done to the message.
                if !self.spam.adjust(&first) {
                    return Err(Halt::fault(
                        format!("\"{first}\" does not begin with a number"),
                        span,
                    ));
                }
                return Ok(());
            }
            Private::VirusSet => {
                let value = first.parse::<u8>().ok().filter(|v| *v <= 5);
                let Some(value) = value else {
                    return Err(Halt::fault(
                        format!("\"{first}\" is not a virus value from 0 to 5"),
                        span,
                    ));
                };
                self.virus = Some(value);
                return Ok(());
            }
            Private::CaptureDsn | Private::CaptureMessage | Private::CaptureJournal => {
                if address::single(&first).is_none() {
                    return Err(Halt::fault(
                        format!("\"{first}\" is not an address to capture to"),
                        span,
                    ));
                }
                let format = match action {
                    Private::CaptureMessage => "message",
                    Private::CaptureJournal => "journal",
                    _ => "dsn",
                };
                Action::Capture {
                    address: first,
                    format,
                }
            }
            Private::Hold => Action::Hold,
            Private::AddConversionTag => Action::AddConversionTag { tags: texts },
            Private::SetConversionTag => Action::SetConversionTag { tags: texts },
            Private::RemoveConversionTag => Action::RemoveConversionTag { tags: texts },
            Private::NoVacation => Action::NoVacation,
            Private::SetEnvelopeFrom => {
                if let address::Address::Invalid(_) = address::envelope(&first) {
                    return Err(Halt::fault(
                        format!("\"{first}\" is not an address to send from"),
                        span,
                    ));
                }
                Action::SetEnvelopeFrom { address: first }
            }
            Private::SetNotify => {
                if let Some(why) = super::lower::private::bad_conditions(&first) {
                    return Err(Halt::fault(why, span));
                }
                Action::SetNotify { value: first }
            }
            Private::SetRet => {
                if !first.eq_ignore_ascii_case("FULL") && !first.eq_ignore_ascii_case("HDRS") {
                    return Err(Halt::fault(format!("\"{first}\" is neither FULL nor HDRS"), span));
                }
                Action::SetRet { value: first }
            }
            Private::SetMtPriority => {
                let value = first.trim().parse::<i8>().ok().filter(|p| (-9..=9).contains(p));
                let Some(value) = value else {
                    return Err(Halt::fault(
                        format!("\"{first}\" is not a priority from -9 to 9"),
                        span,
                    ));
                };
                Action::SetMtPriority { value }
            }
            Private::TransactionLog => Action::TransactionLog { text: first },
            Private::AdjustCounter => {
                let Ok(change) = first.trim().parse::<i64>() else {
                    return Err(Halt::fault(
                        format!("\"{first}\" is not a number to count by"),
                        span,
                    ));
                };
                Action::AdjustCounter {
                    counter: number.unwrap_or(0),
                    change,
                }
            }
        };
        if !self.actions.iter().any(|p| {
            p.action == action && matches!(action, Action::Jettison | Action::Hold | Action::NoVacation)
        }) {
            self.done(cx, action, span);
        }
        Ok(())
    }
}

fn name(action: Private) -> String {
    let text = format!("{action:?}").to_ascii_lowercase();
    if text.starts_with("capture") {
        "capture".to_owned()
    } else {
        text
    }
}
