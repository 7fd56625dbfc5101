//! Syntax tree to program: every command checked against its form, all errors of a script at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use grammar::sieve::Text;
use grammar::{Diagnostic, FileId, Sources, Span};

use super::adopt;
use super::capability::Set;
use super::program::{Instruction, Op, Program, Script, Slot, Str};
use super::source;
use super::text::{BadText, decode_characters, split_variables};
use super::{Library, Mode, Options, Place};

/// Scripts of one program at most, the included ones counted once each.
pub const MAX_SCRIPTS: usize = 64;

/// Instructions of one program at most.
pub const MAX_INSTRUCTIONS: usize = 1 << 20;

/// Syntax errors behind which the tree is whole, so that the rest of the script can be checked: a missing
/// `;` or `}`, one too many, a bad number, an empty list.
const MENDED: &[&str] = &["S002", "S003", "S009", "S010", "S011"];

/// Compiles a script that is already among the sources, with everything it includes; included scripts are
/// added to the sources. Returns the program and warnings, or every error of every script.
pub fn compile(
    sources: &mut Sources,
    file: FileId,
    library: &dyn Library,
    options: &Options,
) -> Result<(Program, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut session = Session {
        options,
        library,
        diagnostics: Vec::new(),
        globals: Vec::new(),
        included: HashMap::new(),
        waiting: VecDeque::new(),
        scripts: 1,
        instructions: 0,
        pattern_bytes: 0,
        recipient_specific: false,
    };
    let mut scripts = vec![session.script(sources, file, "".into())];
    while let Some((name, text)) = session.waiting.pop_front() {
        let file = sources.add(&*name, text);
        scripts.push(session.script(sources, file, name));
    }
    session
        .diagnostics
        .sort_by_key(|d| (d.span().file, d.span().start));
    if grammar::diagnostic::has_errors(&session.diagnostics) {
        return Err(session.diagnostics);
    }
    let program = Program {
        shared: source::share(&mut scripts),
        scripts,
        globals: session.globals,
        recipient_specific: session.recipient_specific,
    };
    Ok((program, session.diagnostics))
}

/// What all scripts of a program share while they are compiled.
pub(super) struct Session<'a> {
    pub options: &'a Options,
    library: &'a dyn Library,
    pub diagnostics: Vec<Diagnostic>,
    globals: Vec<String>,
    /// Script index by name; `None` where there is no such script.
    included: HashMap<String, Option<usize>>,
    waiting: VecDeque<(Arc<str>, String)>,
    scripts: usize,
    instructions: usize,
    /// What the constant patterns so far are charged with.
    pub pattern_bytes: usize,
    pub recipient_specific: bool,
}

impl Session<'_> {
    fn script(&mut self, sources: &Sources, file: FileId, name: Arc<str>) -> Script {
        let (mut tree, errors) = grammar::sieve::parse(sources, file);
        let whole = errors.iter().all(|d| MENDED.contains(&d.code));
        self.diagnostics.extend(errors);
        if !whole {
            // What could not be read would only be complained about again.
            return Script::default();
        }
        let all = self.options.all_capabilities;
        adopt::names(&mut tree, all);
        let mut compiler = Compiler {
            session: self,
            required: if all { Set::all() } else { Set::default() },
            locals: Vec::new(),
            local_names: HashMap::new(),
            declared: HashSet::new(),
            code: Vec::new(),
            loops: Vec::new(),
            span: Span::new(file, 0, 0),
        };
        if compiler.session.options.glued {
            for command in tree.commands.iter().filter(|c| c.name.is("require")) {
                compiler.require(command);
            }
        }
        compiler.block(&tree.commands, true);
        compiler.emit(Op::Return, compiler.span);
        let (code, locals) = (compiler.code, compiler.locals);
        self.instructions += code.len();
        Script { name, code, locals }
    }

    /// The index of a script to include; reads it at the first mention.
    pub fn include(&mut self, place: Place, name: &str, at: Span) -> (Arc<str>, Option<usize>) {
        let full = format!("{}/{name}", place.word());
        if let Some(known) = self.included.get(&full) {
            return (full.into(), *known);
        }
        let index = match self.library.script(place, name) {
            Ok(Some(text)) if self.scripts < MAX_SCRIPTS => {
                self.waiting.push_back((full.as_str().into(), text));
                self.scripts += 1;
                Some(self.scripts - 1)
            }
            Ok(Some(_)) => {
                let message = format!("more than {MAX_SCRIPTS} scripts are included");
                self.diagnostics
                    .push(Diagnostic::error("S128", at, message).help("include fewer"));
                None
            }
            Ok(None) => None,
            Err(why) => {
                let message = format!("script \"{name}\" cannot be read: {why}");
                self.diagnostics
                    .push(Diagnostic::error("S128", at, message).help("repair the script's place"));
                None
            }
        };
        self.included.insert(full.clone(), index);
        (full.into(), index)
    }
}

pub(super) struct Loop {
    pub name: Option<String>,
    pub start: usize,
    /// Jumps to patch with the place behind the loop.
    pub breaks: Vec<usize>,
}

/// One script being compiled.
pub(super) struct Compiler<'c, 'o> {
    pub session: &'c mut Session<'o>,
    pub required: Set,
    locals: Vec<String>,
    local_names: HashMap<String, usize>,
    declared: HashSet<String>,
    code: Vec<Instruction>,
    pub loops: Vec<Loop>,
    /// The command or test being lowered.
    pub span: Span,
}

impl Compiler<'_, '_> {
    /// Reports an error with a way to mend it.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::error(code, span, message).help(help));
    }

    /// Reports something worth knowing.
    pub fn warn(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::warning(code, span, message).help(help));
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        // counted apart: warnings never crowd errors out
        let diagnostics = &mut self.session.diagnostics;
        let alike = diagnostics.iter().filter(|d| d.severity == diagnostic.severity);
        if alike.count() < grammar::sieve::MAX_ERRORS {
            diagnostics.push(diagnostic);
        }
    }

    /// Adds an instruction for the command or test being lowered.
    pub fn emit(&mut self, op: Op, span: Span) -> usize {
        if self.code.len() + self.session.instructions >= MAX_INSTRUCTIONS {
            if self.code.len() + self.session.instructions == MAX_INSTRUCTIONS {
                let message = format!("this program has more than {MAX_INSTRUCTIONS} instructions");
                self.error("S013", span, message, "split it");
                self.session.instructions += 1;
            }
            return 0;
        }
        self.code.push(Instruction { op, span });
        self.code.len() - 1
    }

    /// Sets the target of a jump to the next instruction.
    pub fn patch(&mut self, at: usize) {
        let here = self.code.len();
        if let Some(instruction) = self.code.get_mut(at) {
            match &mut instruction.op {
                Op::Jump(to) | Op::Branch { to, .. } => *to = here,
                Op::NextPart { exit } => *exit = here,
                _ => {}
            }
        }
    }

    // Strings.

    fn bad_text(&mut self, text: &Text, bad: BadText) {
        let start = text.raw.find(&bad.words).filter(|_| !bad.words.is_empty());
        // The raw text begins behind the quote, or somewhere behind `text:`.
        let span = match start {
            Some(at) if !text.multiline => {
                let start = text.span.start + 1 + at as u32;
                Span {
                    start,
                    end: start + bad.words.len() as u32,
                    ..text.span
                }
            }
            _ => text.span,
        };
        self.error("S122", span, bad.message, bad.help);
    }

    /// A string argument, its encoded characters decoded and its variables found.
    pub fn string(&mut self, text: &Text) -> Str {
        if let Some(expression) = &text.computed {
            return self.expression(expression);
        }
        let encoded = self.required.has("encoded-character");
        let mut value = text.value(encoded && self.session.options.mode == Mode::Oms);
        if encoded {
            match decode_characters(&value) {
                Ok(decoded) => value = decoded,
                Err(bad) => self.bad_text(text, bad),
            }
        }
        if !self.required.has("variables") {
            return Str::Const(value.into());
        }
        let mut slot = |space: Option<&str>, name: &str| match space {
            None => Some(self.slot(name)),
            Some("global") if self.required.has("include") => Some(self.global(name)),
            Some(_) => None,
        };
        match split_variables(&value, &mut slot) {
            Ok(string) => string,
            Err(bad) => {
                self.bad_text(text, bad);
                Str::Const(value.into())
            }
        }
    }

    /// Several of them.
    pub fn strings(&mut self, texts: Vec<&Text>) -> Vec<Str> {
        texts.into_iter().map(|t| self.string(t)).collect()
    }

    /// A string that has to be constant.
    pub fn constant(&mut self, text: &Text) -> Option<String> {
        match self.string(text) {
            Str::Const(value) => Some(value.into()),
            Str::Template(_) | Str::Computed(_) => {
                self.error(
                    "S122",
                    text.span,
                    "this string must not hold variables",
                    "write it out",
                );
                None
            }
        }
    }

    // Variables.

    /// The slot of a variable without a namespace, its name in any case.
    pub fn slot(&mut self, name: &str) -> Slot {
        let name = name.to_ascii_lowercase();
        if self.declared.contains(&name) {
            return self.global(&name);
        }
        if let Some(at) = self.local_names.get(&name) {
            return Slot::Local(*at);
        }
        let most = self.session.options.limits.max_variables;
        if self.locals.len() >= most {
            let span = self.span;
            self.error(
                "S122",
                span,
                format!("this script uses more than MAX_VARIABLES {most} variables"),
                "use fewer",
            );
            return Slot::Local(0);
        }
        self.local_names.insert(name.clone(), self.locals.len());
        self.locals.push(name);
        Slot::Local(self.locals.len() - 1)
    }

    /// Whether the script has named this variable before.
    pub fn is_used(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.local_names.contains_key(&name) || self.declared.contains(&name)
    }

    /// The slot of a variable that scripts share.
    pub fn global(&mut self, name: &str) -> Slot {
        let globals = &mut self.session.globals;
        match globals.iter().position(|g| g == name) {
            Some(at) => Slot::Global(at),
            None => {
                globals.push(name.to_owned());
                Slot::Global(globals.len() - 1)
            }
        }
    }

    /// Declares a shared name; `false` where the script has used it as its own already.
    pub fn declare_global(&mut self, name: &str) -> bool {
        self.declared.insert(name.to_owned());
        !self.local_names.contains_key(name)
    }
}
