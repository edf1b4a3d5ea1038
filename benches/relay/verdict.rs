//! Whether a target is met, from all rounds: the median alone would say so even where the rounds contradict each other.

/// What the rounds say of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Met in every round.
    Yes,
    /// In none.
    No,
    /// In some: between the two there is nothing but chance.
    NotToldApart,
    /// There is no round that both routes bore.
    NotMeasured,
}

impl Verdict {
    /// From what each round says by itself. One round alone has nothing that contradicts it.
    pub(crate) fn of(rounds: impl IntoIterator<Item = bool>) -> Self {
        let said = |met| if met { Self::Yes } else { Self::No };
        let agreed = rounds.into_iter().map(said).reduce(|all, one| if all == one { all } else { Self::NotToldApart });
        agreed.unwrap_or(Self::NotMeasured)
    }

    /// As the report has it.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "**no**",
            Self::NotToldApart => "not told apart",
            Self::NotMeasured => "not measured",
        }
    }
}
