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
/// Decides what an empty directory means. A cluster is formed only when every configured member says that it is empty (or forming, and has
/// no record of us) with the same list of members; anything else means that this member may have voted before and lost it, so it must join
/// (DESIGN, promise 4). A member of a cluster that links to it meanwhile, configured or not, makes it a join as well; it is not waited for.
/// What a list cannot tell is a cluster that it does not name: two who were added to one, lost their disks and are configured with each
/// other alone look like founders from where they stand. So who is to be added is told to join, and never forms. Pure but for what it is
/// told. Loop thread only.
/// </summary>
/// <param name="self">This member.</param>
/// <param name="configured">Whom it is configured with, itself included.</param>
/// <param name="force">Those who do not answer are not waited for.</param>
/// <param name="join">It is to enter a cluster that exists.</param>
internal sealed class Bootstrap(MemberId self, IReadOnlyList<MemberId> configured, bool force, bool join = false)
{
    private readonly Dictionary<MemberId, PeerMessage.BootstrapAnswer> _answers = [];

    /// <summary>Why nothing happens yet, for the log.</summary>
    public string Waiting { get; private set; } = "";

    /// <summary>With whom this member would form a cluster, as it tells those who ask: with nobody, if it is to join.</summary>
    public IReadOnlyList<MemberId> Configured => join ? [] : configured;

    /// <summary>A member that answered that a cluster exists; nobody if none did.</summary>
    public MemberId Formed =>
        _answers.Where(a => a.Value.State == BootstrapState.Formed).Select(a => a.Key).Order().FirstOrDefault();

    /// <summary>
    /// A member shook hands. Who names its cluster need not be asked; who has no life any more is of no cluster any more.
    /// </summary>
    public void Linked(PeerHello hello)
    {
        // Observers hold a copy of a cluster, perhaps of one that is gone, and are none of its quorum.
        if (hello.Member.IsObserver)
            return;
        if (hello.Incarnation == 0 && _answers.GetValueOrDefault(hello.Member)?.State == BootstrapState.Formed)
            _answers.Remove(hello.Member);
        else if (hello.ClusterId != Guid.Empty)
            _answers[hello.Member] = new PeerMessage.BootstrapAnswer(BootstrapState.Formed, hello.ClusterId, []);
    }

    /// <summary>
    /// A member answered. An answer stays good though its link breaks: while everybody said "empty" during this process's own life, this
    /// member cannot have taken part in anything that it has forgotten. And that a cluster exists is known until the member that said so is
    /// seen to be empty, or this process ends: whoever throws a cluster away empties the directories of all of its members.
    /// </summary>
    public void Answered(MemberId from, PeerMessage.BootstrapAnswer answer)
    {
        // As in Linked: an observer's copy may be of a cluster that is gone.
        if (from.IsObserver)
            return;
        // A quorum that links to whom it is not configured with has it among its members: it lost its disk, and those it is configured with
        // may have lost theirs.
        if (configured.Contains(from) || answer.State == BootstrapState.Formed)
            _answers[from] = answer;
        else
            _answers.Remove(from);
    }

    public BootstrapStep Decide()
    {
        if (Formed is { IsNone: false } member)
        {
            Waiting = $"Member {member} is of cluster {_answers[member].ClusterId}: waiting to be taken in there, by its leader. If that cluster is given up, stop member {member} and empty its directory.";
            return BootstrapStep.Join;
        }
        if (join)
        {
            Waiting = $"Waiting for a member of the cluster that this one is to join: it is told of {Names(configured.Where(m => m != self))}.";
            if (_answers.Count > 0)
                Waiting += $" Reached so far: {Names(_answers.Keys.Order())}, without a cluster as well. If there is none yet, start one of them without Join and AutoJoin: it founds it.";
            return BootstrapStep.Wait;
        }
        var others = configured.Where(m => m != self).ToList();
        var differing = others.FirstOrDefault(
            m => _answers.TryGetValue(m, out var answer) && !answer.Configured.Order().SequenceEqual(configured.Order()));
        if (!differing.IsNone)
        {
            Waiting = _answers[differing].Configured is { Count: > 0 } other
                ? $"Member {differing} is configured with {Names(other)}, this one with {Names(configured)}. Give all of them the same list."
                : $"Member {differing} is to join a cluster that exists, and this one is to form one with {Names(configured)}. Configure all of them to join, or all to form.";
            return BootstrapStep.Wait;
        }
        var silent = others.Where(m => !_answers.ContainsKey(m)).ToList();
        if (silent.Count > 0 && !force)
        {
            Waiting = $"Waiting for {Names(silent)} to answer: an empty directory forms a cluster only with all of {Names(configured)}.";
            return BootstrapStep.Wait;
        }
        return BootstrapStep.Form;
    }

    private static string Names(IEnumerable<MemberId> members) => $"members {string.Join(", ", members)}";
}
