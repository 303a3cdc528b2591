using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>What a member with an empty directory should do next.</summary>
internal enum BootstrapStep
{
    /// <summary>Ask again later.</summary>
    Wait,

    /// <summary>Form a cluster with the configured members.</summary>
    Form,

    /// <summary>A cluster exists: ask to be taken in.</summary>
    Join,
}

/// <summary>
/// Decides what an empty directory means. A cluster is formed only when every configured member says that it is empty (or forming, and has no record of us)
/// with the same list of members; anything else means that this member may have voted before and lost it, so it must join (DESIGN, promise 4). A member of a cluster that
/// links to it meanwhile, configured or not, makes it a join as well; it is not waited for.
/// Pure but for what it is told. Loop thread only.
/// </summary>
internal sealed class Bootstrap(MemberId self, IReadOnlyList<MemberId> configured, bool force)
{
    private readonly Dictionary<MemberId, PeerMessage.BootstrapAnswer> _answers = [];

    /// <summary>Why nothing happens yet, for the log.</summary>
    public string Waiting { get; private set; } = "";

    /// <summary>A member that answered that a cluster exists; nobody if none did.</summary>
    public MemberId Formed =>
        _answers.Where(a => a.Value.State == BootstrapState.Formed).Select(a => a.Key).Order().FirstOrDefault();

    /// <summary>
    /// A member answered. An answer stays good though its link breaks: while everybody said "empty" during this process's own life, this member
    /// cannot have taken part in anything that it has forgotten.
    /// </summary>
    public void Answered(MemberId from, PeerMessage.BootstrapAnswer answer)
    {
        // A quorum that links to whom it is not configured with has it among its members: it lost its disk, and those it is configured with may have lost theirs.
        if (configured.Contains(from) || answer.State == BootstrapState.Formed)
            _answers[from] = answer;
    }

    public BootstrapStep Decide()
    {
        if (!Formed.IsNone)
            return BootstrapStep.Join;
        var others = configured.Where(m => m != self).ToList();
        var differing = others.FirstOrDefault(m => _answers.TryGetValue(m, out var answer) && !answer.Configured.Order().SequenceEqual(configured.Order()));
        if (!differing.IsNone)
        {
            Waiting = $"Member {differing} is configured with members {string.Join(", ", _answers[differing].Configured)}, this one with "
                + $"{string.Join(", ", configured)}. Give all of them the same list.";
            return BootstrapStep.Wait;
        }
        var silent = others.Where(m => !_answers.ContainsKey(m)).ToList();
        if (silent.Count > 0 && !force)
        {
            Waiting = $"Waiting for members {string.Join(", ", silent)} to answer: an empty directory forms a cluster only with all of {string.Join(", ", configured)}.";
            return BootstrapStep.Wait;
        }
        return BootstrapStep.Form;
    }
}
