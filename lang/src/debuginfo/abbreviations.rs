//! Owns what the abbreviations of a file alone tell. Reads no DIE.

use gimli::Reader;

use super::reader::Slice;

/// Whether the origin or specification of some DIE is given as a position in the whole section, or in another file:
/// only then can a function be made from one of another unit.
pub(super) fn refer_across(mut abbreviations: Slice<'_>) -> gimli::Result<bool> {
    // DWARF 5, 7.5.3: code, tag, whether there are children, then pairs of attribute and form up to 0, 0.
    while !abbreviations.is_empty() {
        if abbreviations.read_uleb128()? == 0 {
            // The end of one unit's table, or what fills up behind it.
            continue;
        }
        abbreviations.read_uleb128()?;
        abbreviations.read_u8()?;
        loop {
            let (attribute, form) = (abbreviations.read_uleb128_u16()?, abbreviations.read_uleb128_u16()?);
            if (attribute, form) == (0, 0) {
                break;
            }
            let form = gimli::DwForm(form);
            if form == gimli::DW_FORM_implicit_const {
                abbreviations.read_sleb128()?;
            }
            let origin = [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification].contains(&gimli::DwAt(attribute));
            let near = [
                gimli::DW_FORM_ref1,
                gimli::DW_FORM_ref2,
                gimli::DW_FORM_ref4,
                gimli::DW_FORM_ref8,
                gimli::DW_FORM_ref_udata,
            ];
            if origin && !near.contains(&form) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
