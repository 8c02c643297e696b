//! Owns DWARF expressions: turns one into a [`Location`], symbolically, as it stands at one address. What it does not
//! understand in full becomes [`Unavailable`], never a guess.

use gimli::{DebugAddrIndex, Operation, UnitOffset};

use super::calls;
use super::cfi::Cfa;
use super::compute::Tree;
use super::dwarf;
use super::facts::{BinaryOp, Compute, Location, Piece, Register, UnaryOp, Unavailable};
use super::limits;
use super::location::{self, Frame};
use super::types::{self, Scalar};
use super::units::{Debug, Raw, Slice, Unit};

/// Why an expression has no usable result.
pub(super) type Refusal = Unavailable;

fn unsupported(what: impl Into<String>) -> Refusal {
    Unavailable::Unsupported(what.into())
}

fn malformed(error: gimli::Error) -> Refusal {
    unsupported(format!("a malformed expression ({error})"))
}

/// Refuses what no engine can read as 64 bits. General registers are 0 to 15 (psABI figure 3.36).
pub(super) fn general(register: u16) -> Result<Register, Refusal> {
    match register {
        0..=15 => Ok(Register(register)),
        // xmm0–15, st0–7, mm0–7, and xmm16–31.
        17..=48 | 67..=82 | 118..=125 => Err(Unavailable::VectorRegister),
        other => Err(unsupported(format!("register {other}"))),
    }
}

/// A value with the type a typed operation gave it; none means DWARF's generic type, 64 bits.
#[derive(Clone, Debug)]
struct Entry {
    tree: Tree,
    ty: Option<Scalar>,
}

/// What is known where an expression is evaluated.
pub(super) struct Place<'e, 'a> {
    pub(super) debug: &'e Debug<'a>,
    pub(super) unit: &'e Unit<'a>,
    pub(super) frame: &'e Frame<'e, 'a>,
    /// How deep in other expressions this one is.
    pub(super) depth: u32,
}

/// Evaluates an expression that describes a variable's location.
pub(super) fn locate(place: &Place<'_, '_>, expression: Slice<'_>) -> Location {
    let done = expression.bytes().map_err(malformed);
    match done.and_then(|bytes| Machine::run(place, Raw::new(&bytes, gimli::LittleEndian), None)) {
        Ok(location) => location,
        Err(reason) => Location::Unavailable(reason),
    }
}

/// Evaluates an expression whose result is a value: a frame base, a CFA.
pub(super) fn value(place: &Place<'_, '_>, expression: Slice<'_>) -> Result<Compute, Refusal> {
    value_of(place, &expression.bytes().map_err(malformed)?)
}

fn value_of(place: &Place<'_, '_>, expression: &[u8]) -> Result<Compute, Refusal> {
    let expression = Raw::new(expression, gimli::LittleEndian);
    match Machine::run(place, expression, None)? {
        Location::Memory(compute) | Location::Value(compute) => Ok(compute),
        Location::Register(register) => Ok(Compute::Register(register)),
        Location::Unavailable(reason) => Err(reason),
        Location::Bytes(_) | Location::ImplicitPointer { .. } | Location::Pieces(_) => {
            Err(unsupported("a frame base that is no single value"))
        }
    }
}

/// The CFA at the frame's address.
pub(super) fn cfa(place: &Place<'_, '_>) -> Result<Compute, Refusal> {
    match place.frame.cfi()? {
        Cfa::Offset(register, offset) => {
            let base = Tree::leaf(Compute::Register(general(register)?));
            Ok(base.plus(offset).ok_or_else(too_large)?.compute)
        }
        Cfa::Expression(bytes) => {
            let inner = Place { depth: place.depth + 1, ..*place };
            value_of(&inner, &bytes)
        }
    }
}

fn too_large() -> Refusal {
    unsupported(format!("an expression of more than {} nodes", limits::MAX_NODES))
}

struct Machine<'p, 'e, 'a> {
    place: &'p Place<'e, 'a>,
    stack: Vec<Entry>,
    pieces: Vec<Piece>,
    /// A place that a completed operation named: it ends the expression, or a piece follows.
    done: Option<Location>,
}

impl<'p, 'e, 'a> Machine<'p, 'e, 'a> {
    fn run(place: &'p Place<'e, 'a>, bytes: Raw<'_>, initial: Option<Tree>) -> Result<Location, Refusal> {
        if place.depth > limits::MAX_EXPRESSION_DEPTH {
            return Err(unsupported("expressions nested too deep"));
        }
        let stack = initial.into_iter().map(|tree| Entry { tree, ty: None }).collect();
        let mut machine = Machine { place, stack, pieces: Vec::new(), done: None };
        machine.steps(bytes)?;
        machine.result()
    }

    fn steps(&mut self, bytes: Raw<'_>) -> Result<(), Refusal> {
        let encoding = self.place.unit.unit.encoding();
        let all = bytes.slice();
        let mut at = 0;
        let mut steps = 0;
        while let Some(rest) = all.get(at..).filter(|rest| !rest.is_empty()) {
            steps += 1;
            if steps > limits::MAX_OPERATIONS {
                return Err(unsupported("an expression that does not end"));
            }
            let mut input = Raw::new(rest, gimli::LittleEndian);
            let operation = Operation::parse(&mut input, encoding).map_err(malformed)?;
            at += rest.len() - input.slice().len();
            let jump = match &operation {
                Operation::Skip { target } => Some(*target),
                Operation::Bra { target } => {
                    let condition = self.pop()?.tree.as_constant();
                    let taken = condition.ok_or_else(|| unsupported("a choice made at run time"))? != 0;
                    taken.then_some(*target)
                }
                _ => None,
            };
            if let Some(target) = jump {
                at = isize::try_from(at)
                    .ok()
                    .and_then(|at| usize::try_from(at + isize::from(target)).ok())
                    .filter(|at| *at <= all.len())
                    .ok_or_else(|| unsupported("a jump out of its expression"))?;
            } else if !matches!(operation, Operation::Bra { .. }) {
                let is_piece = matches!(operation, Operation::Piece { .. });
                if self.done.is_some() && !is_piece && !matches!(operation, Operation::Nop) {
                    return Err(unsupported("operations behind a completed location"));
                }
                self.step(operation)?;
            }
        }
        Ok(())
    }

    fn result(mut self) -> Result<Location, Refusal> {
        if !self.pieces.is_empty() {
            if self.done.is_some() || !self.stack.is_empty() {
                return Err(unsupported("a location in pieces with something behind the last"));
            }
            return Ok(Location::Pieces(self.pieces));
        }
        match (self.done.take(), self.stack.pop()) {
            (Some(location), _) => Ok(location),
            (None, Some(entry)) => Ok(Location::Memory(entry.tree.compute)),
            (None, None) => Err(Unavailable::OptimizedOut { ranges: Vec::new() }),
        }
    }

    fn push(&mut self, tree: Tree) -> Result<(), Refusal> {
        self.push_typed(tree, None)
    }

    fn push_typed(&mut self, tree: Tree, ty: Option<Scalar>) -> Result<(), Refusal> {
        if self.stack.len() >= limits::MAX_STACK {
            return Err(unsupported("an expression with too deep a stack"));
        }
        self.stack.push(Entry { tree, ty });
        Ok(())
    }

    fn pop(&mut self) -> Result<Entry, Refusal> {
        self.stack.pop().ok_or_else(|| unsupported("an expression that takes from an empty stack"))
    }

    fn scalar(&self, base_type: UnitOffset) -> Result<Option<Scalar>, Refusal> {
        if base_type.0 == 0 {
            return Ok(None);
        }
        let id = self.place.unit.id(base_type);
        let scalar =
            types::scalar(self.place.debug, id).ok_or_else(|| unsupported("a typed operation on no integer"))?;
        Ok(Some(scalar))
    }

    /// Brings a value into the range of its type: operators work on 64 bits.
    fn fitted(tree: Tree, ty: Option<Scalar>) -> Result<Tree, Refusal> {
        match ty {
            Some(scalar) if scalar.bits < 64 => {
                let op = if scalar.signed { UnaryOp::SignExtend } else { UnaryOp::ZeroExtend };
                tree.unary(op(scalar.bits)).ok_or_else(too_large)
            }
            Some(_) | None => Ok(tree),
        }
    }

    fn unary(&mut self, op: UnaryOp) -> Result<(), Refusal> {
        let entry = self.pop()?;
        let tree = entry.tree.unary(op).ok_or_else(too_large)?;
        self.push_typed(Self::fitted(tree, entry.ty)?, entry.ty)
    }

    fn binary(&mut self, op: BinaryOp) -> Result<(), Refusal> {
        let right = self.pop()?;
        let left = self.pop()?;
        let shift = matches!(op, BinaryOp::Shl | BinaryOp::ShrLogical | BinaryOp::ShrArithmetic);
        if left.ty != right.ty && !shift {
            return Err(unsupported("an operator on two types"));
        }
        let (mut op, ty) = (op, left.ty);
        if let Some(scalar) = ty {
            let compares =
                matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::DivSigned);
            if compares && !scalar.signed && scalar.bits == 64 {
                return Err(unsupported("an unsigned 64-bit comparison or division"));
            }
            if op == BinaryOp::ModUnsigned && scalar.signed {
                return Err(unsupported("a signed remainder"));
            }
            // On a typed value the type decides how a right shift fills; the values are already extended so.
            if op == BinaryOp::ShrLogical && scalar.signed && scalar.bits < 64 {
                let tree = left.tree.unary(UnaryOp::ZeroExtend(scalar.bits)).ok_or_else(too_large)?;
                let tree = tree.binary(op, right.tree).ok_or_else(too_large)?;
                return self.push_typed(Self::fitted(tree, ty)?, ty);
            }
            if op == BinaryOp::ShrArithmetic && !scalar.signed {
                op = BinaryOp::ShrLogical;
            }
        }
        let tree = left.tree.binary(op, right.tree).ok_or_else(too_large)?;
        let truth =
            matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge);
        if truth { self.push(tree) } else { self.push_typed(Self::fitted(tree, ty)?, ty) }
    }

    fn address_at(&self, index: DebugAddrIndex<usize>) -> Result<u64, Refusal> {
        self.place.unit.dwarf.address(&self.place.unit.unit, index).map_err(malformed)
    }

    fn inner(&self) -> Place<'e, 'a> {
        Place { depth: self.place.depth + 1, ..*self.place }
    }

    fn step(&mut self, operation: Operation<Raw<'_>>) -> Result<(), Refusal> {
        match operation {
            Operation::Nop => Ok(()),
            Operation::UnsignedConstant { value } => self.push(Tree::constant(value.cast_signed())),
            Operation::SignedConstant { value } => self.push(Tree::constant(value)),
            Operation::Address { address } => self.push(Tree::leaf(Compute::ModuleAddress(address))),
            Operation::AddressIndex { index } => {
                let address = self.address_at(index)?;
                self.push(Tree::leaf(Compute::ModuleAddress(address)))
            }
            Operation::ConstantIndex { index } => {
                let value = self.address_at(index)?;
                self.push(Tree::constant(value.cast_signed()))
            }
            Operation::TypedLiteral { base_type, value } => {
                let ty = self.scalar(base_type)?;
                let value = types::literal(value.slice()).ok_or_else(|| unsupported("a literal of over 8 bytes"))?;
                self.push_typed(Self::fitted(Tree::constant(value), ty)?, ty)
            }
            Operation::Register { register } => {
                self.done = Some(match general(register.0) {
                    Ok(register) => Location::Register(register),
                    Err(reason) => Location::Unavailable(reason),
                });
                Ok(())
            }
            Operation::RegisterOffset { register, offset, base_type } => {
                let ty = self.scalar(base_type)?;
                let tree = Tree::leaf(Compute::Register(general(register.0)?));
                let tree = tree.plus(offset).ok_or_else(too_large)?;
                self.push_typed(Self::fitted(tree, ty)?, ty)
            }
            Operation::FrameOffset { offset } => {
                let base = self.place.frame.base(self.place.depth)?;
                let tree = Tree::of(base).and_then(|base| base.plus(offset)).ok_or_else(too_large)?;
                self.push(tree)
            }
            Operation::CallFrameCFA => {
                let cfa = cfa(&self.inner())?;
                self.push(Tree::of(cfa).ok_or_else(too_large)?)
            }
            Operation::Deref { base_type, size, space } => {
                if space || !matches!(size, 1 | 2 | 4 | 8) {
                    return Err(unsupported("a read of an odd size or address space"));
                }
                let ty = self.scalar(base_type)?;
                let tree = self.pop()?.tree.deref(size).ok_or_else(too_large)?;
                self.push_typed(Self::fitted(tree, ty)?, ty)
            }
            Operation::Convert { base_type } => {
                let ty = self.scalar(base_type)?;
                let tree = self.pop()?.tree;
                self.push_typed(Self::fitted(tree, ty)?, ty)
            }
            Operation::Reinterpret { base_type } => {
                let ty = self.scalar(base_type)?;
                let entry = self.pop()?;
                let bits = |ty: Option<Scalar>| ty.map_or(64, |scalar| scalar.bits);
                if bits(ty) != bits(entry.ty) {
                    return Err(unsupported("a reinterpretation as another size"));
                }
                self.push_typed(Self::fitted(entry.tree, ty)?, ty)
            }
            Operation::Drop => self.pop().map(drop),
            Operation::Pick { index } => {
                let from = self.stack.len().checked_sub(usize::from(index) + 1);
                let entry = from.and_then(|from| self.stack.get(from)).cloned();
                let entry = entry.ok_or_else(|| unsupported("an expression that picks below its stack"))?;
                self.push_typed(entry.tree, entry.ty)
            }
            Operation::Swap => {
                let (top, second) = (self.pop()?, self.pop()?);
                self.stack.extend([top, second]);
                Ok(())
            }
            Operation::Rot => {
                let (top, second, third) = (self.pop()?, self.pop()?, self.pop()?);
                self.stack.extend([top, third, second]);
                Ok(())
            }
            Operation::Abs => self.unary(UnaryOp::Abs),
            Operation::Neg => self.unary(UnaryOp::Neg),
            Operation::Not => self.unary(UnaryOp::Not),
            Operation::And => self.binary(BinaryOp::And),
            Operation::Or => self.binary(BinaryOp::Or),
            Operation::Xor => self.binary(BinaryOp::Xor),
            Operation::Plus => self.binary(BinaryOp::Add),
            Operation::Minus => self.binary(BinaryOp::Sub),
            Operation::Mul => self.binary(BinaryOp::Mul),
            Operation::Div => self.binary(BinaryOp::DivSigned),
            Operation::Mod => self.binary(BinaryOp::ModUnsigned),
            Operation::Shl => self.binary(BinaryOp::Shl),
            Operation::Shr => self.binary(BinaryOp::ShrLogical),
            Operation::Shra => self.binary(BinaryOp::ShrArithmetic),
            Operation::Eq => self.binary(BinaryOp::Eq),
            Operation::Ne => self.binary(BinaryOp::Ne),
            Operation::Lt => self.binary(BinaryOp::Lt),
            Operation::Le => self.binary(BinaryOp::Le),
            Operation::Gt => self.binary(BinaryOp::Gt),
            Operation::Ge => self.binary(BinaryOp::Ge),
            Operation::PlusConstant { value } => {
                let entry = self.pop()?;
                let tree = entry.tree.plus(value.cast_signed()).ok_or_else(too_large)?;
                self.push_typed(Self::fitted(tree, entry.ty)?, entry.ty)
            }
            Operation::StackValue => {
                let entry = self.pop()?;
                self.done = Some(Location::Value(entry.tree.compute));
                Ok(())
            }
            Operation::ImplicitValue { data } => {
                if data.slice().len() > limits::MAX_IMPLICIT_BYTES {
                    return Err(unsupported("an implicit value that is too large"));
                }
                self.done = Some(Location::Bytes(data.slice().to_vec()));
                Ok(())
            }
            Operation::ImplicitPointer { value, byte_offset } => {
                let target = dwarf::in_file(dwarf::file_of(self.place.unit.start), value.0 as u64)
                    .ok_or_else(|| unsupported("a pointer to nowhere"))?;
                let target = location::of_die(&self.inner(), target);
                self.done = Some(Location::ImplicitPointer { target: Box::new(target), offset: byte_offset });
                Ok(())
            }
            Operation::EntryValue { expression } => {
                let tree = self.entry_value(expression)?;
                self.push(tree)
            }
            Operation::Piece { size_in_bits, bit_offset } => self.piece(size_in_bits, bit_offset.unwrap_or(0)),
            Operation::Bra { .. } | Operation::Skip { .. } => Ok(()),
            Operation::TLS => {
                let offset = self.pop()?.tree;
                let below = self.place.debug.files.thread_storage_below.and_then(|below| i64::try_from(below).ok());
                let below = below.ok_or_else(|| {
                    unsupported("a thread-local variable of a library, whose place only the dynamic linker knows")
                })?;
                let tree = Tree::leaf(Compute::ThreadPointer).plus(below.wrapping_neg());
                self.push(tree.and_then(|start| start.binary(BinaryOp::Add, offset)).ok_or_else(too_large)?)
            }
            Operation::ParameterRef { offset } => {
                let tree = calls::parameter(&self.inner(), self.place.unit.id(offset))?;
                self.push(tree)
            }
            Operation::VariableValue { .. } => Err(unsupported("the value of another variable")),
            Operation::Call { .. } => Err(unsupported("a call of another expression")),
            Operation::PushObjectAddress => Err(unsupported("the address of an object")),
            Operation::Uninitialized => Err(unsupported("a value not yet initialised")),
            Operation::WasmLocal { .. } | Operation::WasmGlobal { .. } | Operation::WasmStack { .. } => {
                Err(unsupported("a WebAssembly location"))
            }
        }
    }

    /// The value an expression had when the function was entered: what it is now, where now is then.
    fn entry_value(&self, expression: Raw<'_>) -> Result<Tree, Refusal> {
        if !self.place.frame.at_entry {
            return Err(unsupported("the value on entry of the function, which is gone at this address"));
        }
        let compute = value_of(&self.inner(), expression.slice())?;
        Tree::of(compute).ok_or_else(too_large)
    }

    fn piece(&mut self, bits: u64, bit_offset: u64) -> Result<(), Refusal> {
        if self.pieces.len() >= limits::MAX_PIECES {
            return Err(unsupported("a value in too many pieces"));
        }
        let location = match (self.done.take(), self.stack.pop()) {
            (Some(location), _) => location,
            (None, Some(entry)) => Location::Memory(entry.tree.compute),
            (None, None) => Location::Unavailable(Unavailable::OptimizedOut { ranges: Vec::new() }),
        };
        if !self.stack.is_empty() {
            return Err(unsupported("a piece with values left on the stack"));
        }
        self.pieces.push(Piece { location, bits, bit_offset });
        Ok(())
    }
}
