//! How the parser moves over tokens, and what it says if one is not what it must be.

use crate::builder::Stop;
use crate::lexer::{Token, TokenKind, shown};
use crate::parse::Parser;

/// What an expression can begin with.
pub(super) const STARTS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

impl Token<'_> {
    pub(super) fn starts_expression(&self) -> bool {
        match self.kind {
            TokenKind::Sign => matches!(self.text, "[" | "{" | "(" | "." | "-" | "!"),
            TokenKind::In | TokenKind::EscapedIdent | TokenKind::End => false,
            _ => true,
        }
    }

    /// Whether it can stand behind an expression.
    pub(super) fn follows_expression(&self) -> bool {
        match self.kind {
            TokenKind::Sign => !matches!(self.text, "{" | "(" | "!"),
            TokenKind::In | TokenKind::End => true,
            _ => false,
        }
    }
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> &Token<'t> {
        // The last token is the end, which nothing moves beyond.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    pub(super) fn peek_is(&self, sign: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Sign && token.text == sign
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        let token = *self.peek();
        self.pass(1);
        token
    }

    /// Moves on. After a mistake, no other is reported before this: it would only be a consequence.
    pub(super) fn pass(&mut self, count: usize) {
        self.at += count;
        self.recovering = false;
    }

    /// Moves on behind a mistake to what can follow an expression.
    pub(super) fn recover(&mut self) {
        while !self.peek().follows_expression() {
            self.at += 1;
        }
    }

    /// Whether the next token is this sign, which is passed then.
    pub(super) fn skip(&mut self, sign: &str) -> bool {
        let is = self.peek_is(sign);
        if is {
            self.pass(1);
        }
        is
    }

    /// Passes a sign that must come. A token before it that should not be there is dropped, and a sign that is missing
    /// taken for written if what comes can stand behind it: then parsing goes on, to find more mistakes.
    pub(super) fn expect(
        &mut self,
        sign: &str,
        follows: impl Fn(&Token<'_>) -> bool,
    ) -> Result<Token<'t>, Stop> {
        let token = *self.peek();
        if self.peek_is(sign) {
            self.pass(1);
        } else if self.tokens.get(self.at + 1).is_some_and(|next| next.text == sign) {
            self.syntax(format!("extraneous input {} expecting '{sign}'", self.named()));
            self.pass(2);
        } else if follows(&token) {
            self.syntax(format!("missing '{sign}' at {}", self.named()));
        } else {
            return Err(self.mismatch(&format!("'{sign}'")));
        }
        Ok(token)
    }

    /// Checks what comes next. One token that should not be there is dropped.
    pub(super) fn require(&mut self, wanted: &str, is: impl Fn(&Token<'_>) -> bool) -> Result<(), Stop> {
        if is(self.peek()) {
            return Ok(());
        }
        if self.tokens.get(self.at + 1).is_some_and(&is) {
            self.syntax(format!("extraneous input {} expecting {wanted}", self.named()));
            self.pass(1);
            return Ok(());
        }
        Err(self.mismatch(wanted))
    }

    pub(super) fn syntax(&mut self, message: String) {
        if std::mem::replace(&mut self.recovering, true) {
            return;
        }
        let place = self.peek().place;
        self.build.report(place, format!("Syntax error: {message}"));
    }

    pub(super) fn mismatch(&mut self, wanted: &str) -> Stop {
        self.syntax(format!("mismatched input {} expecting {wanted}", self.named()));
        Stop
    }

    /// A dot without a name behind it.
    pub(super) fn no_alternative(&mut self) -> Stop {
        let token = *self.peek();
        match token.kind {
            TokenKind::True | TokenKind::False | TokenKind::Null => self.mismatch("IDENTIFIER"),
            _ => {
                self.syntax(format!("no viable alternative at input '.{}'", shown(token.text)));
                Stop
            }
        }
    }

    /// The next token in a message.
    pub(super) fn named(&self) -> String {
        let token = self.peek();
        match token.kind {
            TokenKind::End => "'<EOF>'".to_owned(),
            _ => format!("'{}'", shown(token.text)),
        }
    }
}
