//! Pages of lists.

/// Which rows of a list are asked for, as SQL wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// At most so many.
    pub(crate) limit: i64,
    /// So many before them are left out.
    pub(crate) offset: i64,
}

impl Page {
    /// Mattermost's usual pages: counted from 0, without an upper limit, and `per_page` 0 is an empty
    /// one. `None` if one of the numbers is negative: Mattermost's database refuses these, so that the
    /// RPC fails with an id of its own.
    pub(crate) fn of(page: i32, per_page: i32) -> Option<Self> {
        if page < 0 || per_page < 0 {
            return None;
        }
        let (page, limit) = (i64::from(page), i64::from(per_page));
        Some(Self { limit, offset: page * limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_0() {
        assert_eq!(Page::of(0, 60), Some(Page { limit: 60, offset: 0 }));
        assert_eq!(Page::of(3, 10), Some(Page { limit: 10, offset: 30 }));
        assert_eq!(Page::of(7, 0), Some(Page { limit: 0, offset: 0 }));
        let far = i64::from(i32::MAX);
        let page = Page::of(i32::MAX, i32::MAX);
        assert_eq!(page, Some(Page { limit: far, offset: far * far }));
        assert_eq!((Page::of(-1, 10), Page::of(0, -1)), (None, None));
    }
}
