//! HAProxy: the two tables that its runtime API answers with.

use super::{Choices, Read, may_be_shown};
use crate::haproxy;

const STATES: &str = "\
1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port\n\
3 api 1 srv-api-1 10.0.0.1 2 0 1 1 8000\n3 api 2 srv-api-2 10.0.0.2 2 8 1 1 8000";

const FIGURES: &str = "\
# pxname,svname,qcur,scur,stot,bck,cookie,\napi,srv-api-1,0,2,90,0,,\napi,srv-api-2,0,0,40,0,,";

/// HAProxy answers with that. Whether it could be read.
///
/// # Panics
/// When something does not hold.
pub fn haproxy(bytes: &[u8]) -> Read {
    let mut choices = Choices::of(bytes);
    let mut changed = |table: &str| {
        let mut cells: Vec<String> = table.split_inclusive([' ', ',', '\n']).map(str::to_owned).collect();
        for _ in 0..choices.one_of(4) {
            let at = choices.one_of(cells.len());
            match (choices.one_of(4), choices.text()) {
                (0, _) => {
                    cells.remove(at);
                }
                (1, text) => cells.insert(at, text),
                (_, text) => {
                    // What ends a cell stays, so that the table is one more often.
                    let end: String = cells.get(at).and_then(|cell| cell.chars().next_back()).into_iter().collect();
                    if let Some(cell) = cells.get_mut(at) {
                        *cell = text + &end;
                    }
                }
            }
            if cells.is_empty() {
                break;
            }
        }
        cells.concat()
    };
    let (states, figures) = (changed(STATES), changed(FIGURES));
    match haproxy::read_hostile(&states, &figures) {
        Ok(()) => Read(1),
        Err(wrong) => {
            may_be_shown(&wrong);
            Read(0)
        }
    }
}
