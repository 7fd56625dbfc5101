//! How a template writes what it puts in: the case of the text, and quoting for LDAP filters.
//!
//! Shared by mapping tables and rewrite rules (mapping specification 4.1, rewrite specification 5.3), so that a
//! `$=` quotes alike in both, inside the arguments of callouts and outside of them.

use grammar::mapping::Case;

/// The style that is in force at a point of a template.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// `$\`, `$^`, `$_`.
    case: Case,
    /// `$=`.
    ldap: bool,
}

/// The argument of a callout while it is built.
#[derive(Debug, Default)]
pub(crate) struct Argument {
    /// Its text.
    pub plain: String,
    /// The text with each `$` of what was substituted doubled.
    pub quoted: String,
}

impl Style {
    /// `$\`, `$^` and `$_`; the last also ends `$=`.
    pub fn set_case(&mut self, case: Case) {
        self.case = case;
        self.ldap &= case != Case::Same;
    }

    /// `$=`.
    pub fn quote_ldap(&mut self) {
        self.ldap = true;
    }

    /// Appends text; `substituted` says that it was put in, and does not stand in the template itself.
    pub fn write(self, out: &mut String, text: &str, substituted: bool) {
        self.append(out, text, substituted && self.ldap, false);
    }

    /// Appends text to both forms of an argument.
    pub fn write_argument(self, argument: &mut Argument, text: &str, substituted: bool) {
        let ldap = substituted && self.ldap;
        self.append(&mut argument.plain, text, ldap, false);
        self.append(&mut argument.quoted, text, ldap, substituted);
    }

    fn append(self, out: &mut String, text: &str, ldap: bool, double: bool) {
        if !ldap && !double {
            return match self.case {
                Case::Same => out.push_str(text),
                Case::Lower => out.extend(text.chars().flat_map(char::to_lowercase)),
                Case::Upper => out.extend(text.chars().flat_map(char::to_uppercase)),
            };
        }
        for c in text.chars() {
            match c {
                '*' | '(' | ')' | '\\' | '\0' if ldap => out.push_str(&format!("\\{:02x}", c as u32)),
                '$' if double => out.push_str("$$"),
                c => match self.case {
                    Case::Same => out.push(c),
                    Case::Lower => out.extend(c.to_lowercase()),
                    Case::Upper => out.extend(c.to_uppercase()),
                },
            }
        }
    }
}
