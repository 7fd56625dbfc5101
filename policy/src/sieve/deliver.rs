//! Deliveries: keep, fileinto, redirect, notify; what excludes what, and what is done only once.

use std::sync::Arc;

use grammar::Span;

use super::Level;
use super::evaluate::ask_once;
use super::frame::{Frame, Halt};
use super::outcome::{Action, Fcc, Written};
use super::perform::split_flags;
use super::program::{self, ByTime, Redirect, Str, Target};
use crate::ask::{Answer, Ask, Read};
use crate::machine::Context;
use crate::message::address;
use crate::trace::Kind;

impl Frame {
    pub(super) fn no_delivery_before(&self, name: &str, span: Span) -> Result<(), Halt> {
        if self.rejected {
            return Err(Halt::fault(format!("`{name}` follows another rejection"), span));
        }
        if self.vacations > 0 {
            return Err(Halt::fault(format!("`{name}` cannot follow a vacation"), span));
        }
        let delivers = |a: &Action| {
            matches!(
                a,
                Action::Keep { .. } | Action::FileInto { .. } | Action::Redirect { .. }
            )
        };
        if self.actions.iter().any(|p| delivers(&p.action)) {
            return Err(Halt::fault(
                format!("`{name}` cannot follow a delivery of the message"),
                span,
            ));
        }
        Ok(())
    }

    pub(super) fn not_rejected(&self, name: &str, span: Span) -> Result<(), Halt> {
        if self.rejected {
            return Err(Halt::fault(format!("`{name}` cannot follow a rejection"), span));
        }
        Ok(())
    }

    pub(super) fn action_flags(
        &self,
        cx: &mut Context<'_>,
        given: Option<&[Str]>,
        span: Span,
    ) -> Result<Vec<String>, Halt> {
        match given {
            Some(flags) => Ok(split_flags(&self.render_all(cx, flags, span)?)),
            None => Ok(self.flags.clone()),
        }
    }

    /// Where a copy of a generated message goes.
    pub(super) fn fcc(
        &self,
        cx: &mut Context<'_>,
        fcc: Option<&program::Fcc>,
        span: Span,
    ) -> Result<Option<Fcc>, Halt> {
        let Some(fcc) = fcc else { return Ok(None) };
        Ok(Some(Fcc {
            mailbox: self.render(cx, &fcc.mailbox, span)?,
            create: fcc.create,
            flags: match &fcc.flags {
                Some(flags) => split_flags(&self.render_all(cx, flags, span)?),
                None => Vec::new(),
            },
            specialuse: self.render_option(cx, fcc.specialuse.as_ref(), span)?,
            mailboxid: self.render_option(cx, fcc.mailboxid.as_ref(), span)?,
        }))
    }

    pub(super) fn keep(
        &mut self,
        cx: &mut Context<'_>,
        given: Option<&[Str]>,
        span: Span,
    ) -> Result<(), Halt> {
        self.not_rejected("keep", span)?;
        let flags = self.action_flags(cx, given, span)?;
        self.cancelled = true;
        if !self.store_again("INBOX", &flags, false, given.is_some()) {
            self.done(
                cx,
                Action::Keep {
                    implicit: false,
                    flags,
                },
                span,
            );
        }
        Ok(())
    }

    /// Whether the message is stored in this mailbox already; then the last flags win.
    pub(super) fn store_again(
        &mut self,
        mailbox: &str,
        flags: &[String],
        copy: bool,
        explicit: bool,
    ) -> bool {
        for performed in &mut self.actions {
            let (old, old_copy) = match &mut performed.action {
                Action::Keep { flags, .. } if is_inbox(mailbox) => (flags, None),
                Action::FileInto {
                    mailbox: m,
                    flags,
                    copy,
                    ..
                } if m == mailbox || (is_inbox(m) && is_inbox(mailbox)) => (flags, Some(copy)),
                _ => continue,
            };
            if explicit || !flags.is_empty() {
                *old = flags.to_vec();
            }
            if let Some(old_copy) = old_copy {
                *old_copy &= copy;
            }
            return true;
        }
        false
    }

    pub(super) fn fileinto(
        &mut self,
        cx: &mut Context<'_>,
        mut action: Action,
        by: Option<(bool, String)>,
        explicit_flags: bool,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<(), Halt> {
        self.not_rejected("fileinto", span)?;
        let Action::FileInto {
            mailbox,
            copy,
            flags,
            specialuse,
            mailboxid,
            ..
        } = &mut action
        else {
            return Ok(());
        };
        if let Some((special, value)) = by {
            let ask = || {
                vec![Ask::Read(match special {
                    true => Read::SpecialUse {
                        mailbox: None,
                        flag: value.clone(),
                    },
                    false => Read::MailboxId { id: value.clone() },
                })]
            };
            if let Some(Answer::Found(name)) = ask_once(answers, ask)?.pop() {
                *mailbox = name;
                *(if special { specialuse } else { mailboxid }) = Some(value);
            } else if special {
                // Creating the mailbox, where that is asked for, gives it the flag.
                *specialuse = Some(value);
            }
        }
        if mailbox.is_empty() || mailbox.chars().any(char::is_control) {
            return Err(Halt::fault(
                format!("\"{mailbox}\" cannot be the name of a mailbox"),
                span,
            ));
        }
        let (mailbox, copy, flags) = (mailbox.clone(), *copy, flags.clone());
        self.cancelled |= !copy;
        if self.store_again(&mailbox, &flags, copy, explicit_flags) {
            return Ok(());
        }
        let filed = |a: &Action| matches!(a, Action::FileInto { .. });
        let most = self.request.limits.max_fileintos;
        self.limit("MAX_FILEINTOS", most, filed, span)?;
        self.done(cx, action, span);
        Ok(())
    }

    /// Refuses one more action of a kind than a user may have.
    pub(super) fn limit(
        &self,
        name: &str,
        most: usize,
        is: impl Fn(&Action) -> bool,
        span: Span,
    ) -> Result<(), Halt> {
        let count = self.actions.iter().filter(|p| is(&p.action)).count();
        if self.request.level == Level::User && count >= most {
            return Err(Halt::fault(format!("more than {name} {most} actions"), span));
        }
        Ok(())
    }

    pub(super) fn redirect(
        &mut self,
        cx: &mut Context<'_>,
        redirect: &Redirect,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<(), Halt> {
        self.not_rejected("redirect", span)?;
        let (list, addresses) = match &redirect.target {
            Target::Address(to) => (None, vec![self.render(cx, to, span)?]),
            Target::List(list) => {
                let list = self.render(cx, list, span)?;
                let ask = || vec![Ask::Read(Read::ListMembers { list: list.clone() })];
                let members = match ask_once(answers, ask)?.pop() {
                    Some(Answer::Found(members)) => members.lines().map(str::to_owned).collect(),
                    Some(Answer::Temporary(why)) => {
                        return Err(Halt::temporary(
                            format!("the list {list} cannot be read: {why}"),
                            span,
                        ));
                    }
                    _ => return Err(Halt::fault(format!("there is no list {list}"), span)),
                };
                (Some(list), members)
            }
        };
        let notify = match &redirect.notify {
            None => None,
            Some((strings, list)) => {
                let mut all = self.render_all(cx, strings, span)?;
                if let Some(why) = super::lower::private::bad_conditions(&all.join(",")) {
                    return Err(Halt::fault(why, span));
                }
                Some(match (list, all.len()) {
                    (false, 1) => Written::One(all.remove(0)),
                    _ => Written::Many(all),
                })
            }
        };
        let ret = self.render_option(cx, redirect.ret.as_ref(), span)?;
        let bymode = self.render_option(cx, redirect.by_mode.as_ref(), span)?;
        let (bytimerelative, bytimeabsolute) = match &redirect.by_time {
            None => (None, None),
            Some(ByTime::Relative(seconds)) => (Some(*seconds), None),
            Some(ByTime::Absolute(time)) => (None, Some(self.render(cx, time, span)?)),
        };
        self.cancelled |= !redirect.copy;
        for to in addresses {
            let Some(mailbox) = address::single(&to) else {
                return Err(Halt::fault(
                    format!("\"{to}\" is not an address to redirect to"),
                    span,
                ));
            };
            let text = if list.is_some() { mailbox.all() } else { to };
            let is_same = |a: &str| {
                address::single(a).is_some_and(|m| {
                    m.local == mailbox.local && m.domain.eq_ignore_ascii_case(&mailbox.domain)
                })
            };
            let before = self.actions.iter_mut().find_map(|p| match &mut p.action {
                Action::Redirect { address, copy, .. } if is_same(address) => Some(copy),
                _ => None,
            });
            if let Some(copy) = before {
                *copy &= redirect.copy;
                continue;
            }
            let most = self.request.limits.max_redirects;
            self.limit(
                "MAX_REDIRECTS",
                most,
                |a| matches!(a, Action::Redirect { .. }),
                span,
            )?;
            let owner = redirect.reset_from.unwrap_or(notify.is_some());
            let action = Action::Redirect {
                address: text,
                copy: redirect.copy,
                list: list.clone(),
                notify: notify.clone(),
                ret: ret.clone(),
                resent: redirect.resent.unwrap_or(self.request.redirect_add_resent),
                mailfrom: if owner { "owner" } else { "original" },
                bytimerelative,
                bytimeabsolute: bytimeabsolute.clone(),
                bymode: bymode.clone(),
                bytrace: redirect.by_trace,
            };
            self.done(cx, action, span);
            if let (Some((message, headers)), Some(performed)) = (&self.unenclosed, self.actions.last_mut()) {
                performed.message = Arc::clone(message);
                performed.headers.clone_from(headers);
            }
        }
        Ok(())
    }

    pub(super) fn notify(&mut self, cx: &mut Context<'_>, action: Action, span: Span) -> Result<(), Halt> {
        let Action::Notify { method, .. } = &action else {
            return Ok(());
        };
        let automatic = self
            .field_text("auto-submitted")
            .is_some_and(|v| !v.to_ascii_lowercase().starts_with("no"));
        if automatic {
            cx.trace.add(Kind::Action, Some(span), || {
                "no notification of an automatic message".to_owned()
            });
            return Ok(());
        }
        let again = |a: &Action| matches!(a, Action::Notify { method: m, .. } if m == method);
        if self.actions.iter().any(|p| again(&p.action)) {
            return Ok(());
        }
        let most = self.request.limits.max_notifys;
        let count = self
            .actions
            .iter()
            .filter(|p| matches!(p.action, Action::Notify { .. }))
            .count();
        if count >= most {
            return Err(Halt::fault(
                format!("more than MAX_NOTIFYS {most} notifications"),
                span,
            ));
        }
        self.done(cx, action, span);
        Ok(())
    }
}

fn is_inbox(mailbox: &str) -> bool {
    mailbox.eq_ignore_ascii_case("INBOX")
}
