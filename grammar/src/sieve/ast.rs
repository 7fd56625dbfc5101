//! The syntax tree of a Sieve script: commands, tests and arguments with their places.

use crate::Span;

/// A whole script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// The commands at the top, in order.
    pub commands: Vec<Command>,
}

/// An identifier as written, or a tag without its colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The letters as written; compare without case.
    pub text: String,
    /// Where it stands, the colon of a tag included.
    pub span: Span,
}

impl Word {
    /// Whether it is this name, letter case aside.
    pub fn is(&self, name: &str) -> bool {
        self.text.eq_ignore_ascii_case(name)
    }
}

/// A control structure or an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: Word,
    /// Tags and positional arguments in the order written.
    pub arguments: Vec<Argument>,
    /// The tests that follow.
    pub tests: Tests,
    /// The block that ends it; a command without one ends with a semicolon.
    pub block: Option<Block>,
    /// From the name to the semicolon or the end of the tests; the block is not in it.
    pub span: Span,
}

/// A test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Its name.
    pub name: Word,
    /// Tags and positional arguments in the order written.
    pub arguments: Vec<Argument>,
    /// The tests that follow, as those of `not` and `allof`.
    pub tests: Tests,
    /// The whole test.
    pub span: Span,
}

/// What may follow the arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tests {
    /// Nothing.
    #[default]
    None,
    /// One test without parentheses.
    One(Box<Test>),
    /// A list in parentheses.
    List(Vec<Test>, Span),
}

/// Commands in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The commands.
    pub commands: Vec<Command>,
    /// The opening brace.
    pub open: Span,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `:name`.
    Tag(Word),
    /// A number, its quantifier applied.
    Number(u64, Span),
    /// A quoted string or a `text:` block.
    String(Text),
    /// A list in brackets; never empty.
    List(Vec<Text>, Span),
}

impl Argument {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Argument::Tag(w) => w.span,
            Argument::Number(_, s) | Argument::List(_, s) => *s,
            Argument::String(t) => t.span,
        }
    }
}

/// A string as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Between the quotes, or the lines of a `text:` block; quoting not yet undone.
    pub raw: String,
    /// Whether it was a `text:` block.
    pub multiline: bool,
    /// With the quotes.
    pub span: Span,
    /// What computes it, where it is no string but an expression; then `raw` is the source of that.
    pub computed: Option<Expression>,
}

/// An expression in postfix order: operands before what works on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expression {
    /// The steps, each with its place.
    pub steps: Vec<(Step, Span)>,
}

/// One step of an expression, over a stack of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pushes a string.
    Text(Text),
    /// Pushes a number.
    Number(u64),
    /// Pushes a list.
    List(Vec<Text>),
    /// Pushes the value of a variable.
    Name(Word),
    /// Takes as many values as it has arguments and pushes one. A name that is a variable is indexed.
    Call {
        /// The function or variable.
        name: Word,
        /// How many values it takes.
        arguments: usize,
        /// The tag among them, as in `encode(s, :hex)`.
        tag: Option<Word>,
        /// Whether the last value is the end of a range, as in `s(2:5)`.
        range: bool,
    },
    /// `!` or `-` of one value.
    Unary(&'static str),
    /// Any other operator, of two.
    Binary(&'static str),
}

impl Text {
    /// Its value: backslashes (or the dots that lines were stuffed with) undone, line ends CRLF.
    ///
    /// With `controls`, `\r`, `\n` and `\t` in a quoted string stand for CR, LF and TAB; without, a
    /// backslash before any other character is dropped (RFC 5228, 2.4.2).
    pub fn value(&self, controls: bool) -> String {
        let mut out = String::with_capacity(self.raw.len());
        if self.multiline {
            for line in self.raw.split_inclusive('\n') {
                let line = if line.starts_with("..") { &line[1..] } else { line };
                let bare = line.trim_end_matches(['\r', '\n']);
                out.push_str(bare);
                if line.ends_with('\n') {
                    out.push_str("\r\n");
                }
            }
            return out;
        }
        let mut chars = self.raw.chars();
        let mut last = ' ';
        while let Some(c) = chars.next() {
            let c = match c {
                '\\' => match chars.next() {
                    Some('r') if controls => '\r',
                    Some('n') if controls => '\n',
                    Some('t') if controls => '\t',
                    Some(c) => c,
                    None => '\\',
                },
                '\n' => {
                    if last != '\r' {
                        out.push('\r');
                    }
                    '\n'
                }
                c => c,
            };
            out.push(c);
            last = c;
        }
        out
    }
}
