//! Which fields of which messages repeat: what a message costs in memory, read off its bytes without decoding it.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::v1;

/// The fields of a message that hold messages or repeat.
#[derive(Debug)]
pub struct Shape(&'static [Field]);

#[derive(Debug)]
struct Field {
    tag: u32,
    repeats: bool,
    inner: Option<&'static Shape>,
}

const fn one(tag: u32, inner: &'static Shape) -> Field {
    Field { tag, repeats: false, inner: Some(inner) }
}

const fn each(tag: u32, inner: &'static Shape) -> Field {
    Field { tag, repeats: true, inner: Some(inner) }
}

const fn many(tag: u32) -> Field {
    Field { tag, repeats: true, inner: None }
}

impl Shape {
    /// Tag, whether it repeats, and the shape of what is in it.
    #[cfg(test)]
    pub(super) fn fields(&self) -> impl Iterator<Item = (u32, bool, Option<&'static Shape>)> {
        self.0.iter().map(|field| (field.tag, field.repeats, field.inner))
    }

    /// Elements of all repeated fields in a message, at every depth; `None` when the bytes are no message.
    pub(super) fn elements(&self, mut bytes: &[u8]) -> Option<usize> {
        let mut count = 0;
        while !bytes.is_empty() {
            let (tag, wire) = decode_key(&mut bytes).ok()?;
            let field = self.0.iter().find(|field| field.tag == tag && wire == WireType::LengthDelimited);
            let Some(field) = field else {
                skip_field(wire, tag, &mut bytes, DecodeContext::default()).ok()?;
                continue;
            };
            let inside = take_delimited(&mut bytes)?;
            count += usize::from(field.repeats);
            count += field.inner.map_or(Some(0), |shape| shape.elements(inside))?;
        }
        Some(count)
    }
}

fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (inside, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(inside)
}

/// A message that stands at the top of a call.
pub trait Shaped {
    /// Where it repeats.
    const SHAPE: &'static Shape;
}

static COVERAGE: Shape = Shape(&[many(1), many(2)]);
static PUBLISHER: Shape = Shape(&[many(10)]);
static OBSERVATION: Shape = Shape(&[one(9, &PUBLISHER)]);
static DENIAL: Shape = Shape(&[one(1, &OBSERVATION)]);
static SOURCE: Shape = Shape(&[one(2, &PUBLISHER)]);
static INVENTORY: Shape = Shape(&[each(1, &SOURCE)]);
static TURNED: Shape = Shape(&[many(2), many(3)]);
static HEALTH: Shape = Shape(&[many(3)]);
static REPORT: Shape =
    Shape(&[one(2, &OBSERVATION), one(3, &DENIAL), one(4, &COVERAGE), one(5, &INVENTORY), one(6, &TURNED), one(7, &HEALTH)]);
static BATCH: Shape = Shape(&[each(1, &REPORT)]);
static HELLO: Shape = Shape(&[many(3)]);
static HEARTBEAT: Shape = Shape(&[one(1, &HEALTH)]);
static AGENT_MESSAGE: Shape = Shape(&[one(1, &HELLO), one(2, &BATCH), one(8, &HEARTBEAT)]);

static VERDICTS: Shape = Shape(&[many(1)]);
static SETTINGS: Shape = Shape(&[many(6), many(8), many(9), many(10), many(11)]);
static START_SCAN: Shape = Shape(&[many(3)]);
static COMMAND: Shape = Shape(&[one(2, &START_SCAN), one(4, &SOURCE)]);
static CMS_MESSAGE: Shape = Shape(&[one(3, &VERDICTS), one(6, &SETTINGS), one(7, &COMMAND)]);

static ENROLL_RESPONSE: Shape = Shape(&[many(2)]);
static RENEW_RESPONSE: Shape = Shape(&[many(1)]);
static FLAT: Shape = Shape(&[]);

macro_rules! shaped {
    ($($message:ident: $shape:ident),+ $(,)?) => {
        $(impl Shaped for v1::$message {
            const SHAPE: &'static Shape = &$shape;
        })+
    };
}

shaped!(
    AgentMessage: AGENT_MESSAGE,
    CmsMessage: CMS_MESSAGE,
    EnrollRequest: FLAT,
    EnrollResponse: ENROLL_RESPONSE,
    RenewRequest: FLAT,
    RenewResponse: RENEW_RESPONSE,
);
