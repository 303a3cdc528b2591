namespace RaftKit.Node.Proposals;

/// <summary>Hears how long this member's own proposals took. Nothing is measured while nobody listens. Called on the loop.</summary>
internal interface IProposalMeter
{
    bool IsEnabled { get; }

    /// <summary>From when the loop took it in until it was applied here.</summary>
    void Applied(TimeSpan took);
}
