//! The text form of label selectors.

use super::{Error, Operator, Requirement, check_key};
use crate::field::Path;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    End,
    Close,
    Open,
    Comma,
    Not,
    Operator(Operator),
    Identifier,
}

/// Parses `key=value,key in (a,b),!key`; an empty text has no requirements.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser { tokens: scan(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        let (token, literal) = parser.peek_value();
        match token {
            Token::End => return Ok(requirements),
            Token::Identifier | Token::Not => {}
            _ => return syntax(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
        }
        let requirement = parser.requirement();
        requirements.push(requirement.map_err(|error| Error::Requirement(Box::new(error)))?);
        match parser.next_value() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => match parser.peek_value() {
                (Token::Identifier | Token::Not, _) => {}
                (_, literal) => return syntax(format!("found '{literal}', expected: identifier after ','")),
            },
            (_, literal) => return syntax(format!("found '{literal}', expected: ',' or 'end of string'")),
        }
    }
}

fn syntax<T>(message: String) -> Result<T, Error> {
    Err(Error::Syntax(message))
}

fn is_special(b: u8) -> bool {
    b"=!(),><".contains(&b)
}

fn is_space(b: u8) -> bool {
    b" \t\r\n".contains(&b)
}

/// All tokens with their texts; the last is [`Token::End`].
fn scan(text: &str) -> Vec<(Token, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b if is_special(b) => {
                ["==", "!="].iter().find(|op| rest.starts_with(**op)).map_or(1, |op| op.len())
            }
            _ => rest.bytes().position(|b| is_special(b) || is_space(b)).unwrap_or(rest.len()),
        };
        let (literal, after) = rest.split_at(length);
        tokens.push((token(literal), literal));
        rest = after.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens.push((Token::End, ""));
    tokens
}

fn token(literal: &str) -> Token {
    match literal {
        ")" => Token::Close,
        "(" => Token::Open,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::Operator(Operator::DoubleEquals),
        "=" => Token::Operator(Operator::Equals),
        "!=" => Token::Operator(Operator::NotEquals),
        ">" => Token::Operator(Operator::GreaterThan),
        "<" => Token::Operator(Operator::LessThan),
        "in" => Token::Operator(Operator::In),
        "notin" => Token::Operator(Operator::NotIn),
        _ => Token::Identifier,
    }
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> (Token, &'a str) {
        self.tokens.get(self.position).copied().unwrap_or((Token::End, ""))
    }

    /// The next token where `in` and `notin` can only be names or values.
    fn peek_value(&self) -> (Token, &'a str) {
        match self.peek() {
            (Token::Operator(Operator::In | Operator::NotIn), literal) => (Token::Identifier, literal),
            other => other,
        }
    }

    fn next_value(&mut self) -> (Token, &'a str) {
        let next = self.peek_value();
        self.position += 1;
        next
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut first = self.next_value();
        let negated = first.0 == Token::Not;
        if negated {
            first = self.next_value();
        }
        let (Token::Identifier, key) = first else {
            return syntax(format!("found '{}', expected: identifier", first.1));
        };
        // Upstream names no field here, and prints its missing path so.
        check_key(&Path::root("<nil>"), key).into_result().map_err(Error::Invalid)?;
        let ends = matches!(self.peek_value().0, Token::End | Token::Comma);
        let (operator, values) = match (negated, ends) {
            (true, _) => (Operator::DoesNotExist, Vec::new()),
            (false, true) => (Operator::Exists, Vec::new()),
            (false, false) => self.comparison()?,
        };
        Requirement::new(key, operator, values).map_err(Error::Invalid)
    }

    fn comparison(&mut self) -> Result<(Operator, Vec<String>), Error> {
        let (token, literal) = self.peek();
        self.position += 1;
        let Token::Operator(operator) = token else {
            return syntax(format!("found '{literal}', expected: in, notin, =, ==, !=, gt, lt"));
        };
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort_unstable();
        values.dedup();
        Ok((operator, values))
    }

    fn exact_value(&mut self) -> Result<String, Error> {
        if matches!(self.peek_value().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next_value() {
            (Token::Identifier, literal) => Ok(literal.into()),
            (_, literal) => syntax(format!("found '{literal}', expected: identifier")),
        }
    }

    /// `(a,b)`; a missing value before or behind a comma is the empty one.
    fn values(&mut self) -> Result<Vec<String>, Error> {
        let (token, literal) = self.next_value();
        if token != Token::Open {
            return syntax(format!("found '{literal}' expected: '('"));
        }
        match self.peek_value() {
            (Token::Identifier | Token::Comma, _) => self.value_list(),
            (Token::Close, _) => {
                self.position += 1;
                Ok(vec![String::new()])
            }
            (_, literal) => syntax(format!("found '{literal}', expected: ',', ')' or identifier")),
        }
    }

    fn value_list(&mut self) -> Result<Vec<String>, Error> {
        let mut values = Vec::new();
        let mut expects_value = true;
        loop {
            match self.next_value() {
                (Token::Identifier, literal) if expects_value => {
                    values.push(literal.to_owned());
                    expects_value = false;
                }
                (Token::Comma, _) => {
                    if expects_value {
                        values.push(String::new());
                    }
                    expects_value = true;
                }
                (Token::Close, _) => {
                    if expects_value {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                (_, literal) if expects_value => {
                    return syntax(format!("found '{literal}', expected: ',', or identifier"));
                }
                (_, literal) => return syntax(format!("found '{literal}', expected: ',' or ')'")),
            }
        }
    }
}
