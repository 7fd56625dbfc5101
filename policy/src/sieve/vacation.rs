//! Whether a vacation action asks for a reply, and which (RFC 5230, specification A3.11 and B9).

use grammar::Span;

use super::Level;
use super::frame::{Frame, Halt};
use super::outcome::Action;
use super::program::{Period, Vacation};
use crate::machine::Context;
use crate::message::address::{self, Address, Mailbox};
use crate::trace::Kind;

/// Fields whose addresses count as recipients.
const RECIPIENTS: &[&str] = &["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];

/// Fields that mailing lists put in.
const LIST_FIELDS: &[&str] = &[
    "list-id",
    "list-help",
    "list-subscribe",
    "list-unsubscribe",
    "list-post",
    "list-owner",
    "list-archive",
];

/// The longest interval: a year.
const MAXIMUM: u64 = 366 * 86_400;

impl Frame {
    pub(super) fn vacation(&mut self, cx: &mut Context<'_>, v: &Vacation, span: Span) -> Result<(), Halt> {
        if self.request.level == Level::System {
            return Err(Halt::fault("`vacation` is for scripts of users only", span));
        }
        self.not_rejected("vacation", span)?;
        if self.vacations >= self.request.limits.max_vacations {
            return Err(Halt::fault("too many vacations specified", span));
        }
        self.vacations += 1;
        let from = self.render_option(cx, v.from.as_ref(), span)?;
        let addresses = self.render_all(cx, &v.addresses, span)?;
        let subject = self.render_option(cx, v.subject.as_ref(), span)?;
        let handle = self.render_option(cx, v.handle.as_ref(), span)?;
        let reason = self.render(cx, &v.reason, span)?;
        let fcc = self.fcc(cx, v.fcc.as_ref(), span)?;
        if let Some(why) = self.no_reply(&addresses) {
            cx.trace
                .add(Kind::Action, Some(span), || format!("vacation: no reply, {why}"));
            return Ok(());
        }
        let original = self.field_text("subject").unwrap_or_default();
        let limits = &self.request.limits;
        let seconds = match v.period {
            None => limits.vacation_default,
            Some(Period::Days(days)) => days.max(1).saturating_mul(86_400),
            Some(Period::Hours(hours)) => hours.saturating_mul(3600),
            Some(Period::Seconds(seconds)) => seconds,
        };
        let number = |period: Option<Period>| match period {
            Some(Period::Days(n) | Period::Hours(n) | Period::Seconds(n)) => Some(n),
            None => None,
        };
        let action = Action::Vacation {
            reason,
            subject: subject.unwrap_or_else(|| format!("Auto: {original}").trim_end().to_owned()),
            from,
            days: number(v.period.filter(|p| matches!(p, Period::Days(_)))),
            hours: number(v.period.filter(|p| matches!(p, Period::Hours(_)))),
            seconds: number(v.period.filter(|p| matches!(p, Period::Seconds(_)))),
            mime: v.mime,
            to: self.request.envelope.from.clone(),
            fcc,
            reply: v.reply,
            echo: v.echo,
            key: handle.unwrap_or_else(|| v.fingerprint.clone()),
            interval: seconds.clamp(limits.vacation_minimum, MAXIMUM.max(limits.vacation_minimum)),
        };
        self.done(cx, action, span);
        Ok(())
    }

    /// Why nobody is to be answered, if so.
    fn no_reply(&self, given: &[String]) -> Option<String> {
        let sender = match address::envelope(&self.request.envelope.from) {
            Address::Valid(m) if m == Mailbox::default() => return Some("the sender is null".to_owned()),
            Address::Valid(m) => m,
            Address::Invalid(text) => return Some(format!("the sender \"{text}\" is no address")),
        };
        let local = sender.local.to_ascii_lowercase();
        let robot = matches!(local.as_str(), "mailer-daemon" | "listserv" | "majordomo")
            || local.ends_with("-request")
            || local.starts_with("owner-");
        if robot {
            return Some(format!("the sender {} is a robot", sender.all()));
        }
        let view = self.view();
        if let Some(list) = LIST_FIELDS.iter().find(|f| !view.places(f).is_empty()) {
            return Some(format!("the message has a {list} field"));
        }
        if let Some(value) = self.field_text("auto-submitted")
            && !value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .eq_ignore_ascii_case("no")
        {
            return Some(format!("the message is automatic ({value})"));
        }
        if let Some(value) = self.field_text("precedence")
            && ["bulk", "junk", "list"]
                .iter()
                .any(|p| value.eq_ignore_ascii_case(p))
        {
            return Some(format!("the precedence is {value}"));
        }
        let own = [&self.request.envelope.to, &self.request.owner];
        let own: Vec<Mailbox> = own
            .into_iter()
            .chain(&self.request.addresses)
            .chain(given)
            .filter_map(|a| address::single(a))
            .collect();
        let is_own = |m: &Mailbox| {
            own.iter()
                .any(|o| o.local.eq_ignore_ascii_case(&m.local) && o.domain.eq_ignore_ascii_case(&m.domain))
        };
        let named = RECIPIENTS
            .iter()
            .flat_map(|f| view.values(f))
            .flat_map(|v| address::list(&v.unfolded()))
            .any(|a| matches!(&a, Address::Valid(m) if is_own(m)));
        (!named).then(|| "no own address is among the recipients".to_owned())
    }
}
