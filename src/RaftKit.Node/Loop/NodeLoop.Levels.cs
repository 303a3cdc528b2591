using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>
/// The loop's dealings with feature levels: what this process supports is said and asked; who does not support what is finalised takes no
/// part.
/// </summary>
internal sealed partial class NodeLoop
{
    private FinalizedLevels _levelsSeen = FinalizedLevels.None;

    /// <summary>Reads back what the directory holds.</summary>
    /// <returns>
    /// False when that is of a level that this process does not support: the node has then stopped, as it does when it meets such an entry
    /// later, and the host process lives on.
    /// </returns>
    private bool TakeUp(LoopTime now)
    {
        if (!_storage.Open())
            return true;
        try
        {
            var restored = _storage.Recover(now.UnixMilliseconds);
            BeginConsensus(restored, new StartJudgement(_options.Members.Keys.Where(m => m != Self), _options.ElectionTicks));
            return true;
        }
        catch (FeatureLevelUnsupportedException unsupported)
        {
            // Whoever dials before the links are closed is to find somebody.
            AnnounceSelf();
            Fail(unsupported);
            return false;
        }
    }

    /// <summary>
    /// A proposal to finalise a level, with what every linked member supports. The log then holds on what the decision rests; and it is the
    /// leader who adds it, since nobody else is linked with all.
    /// </summary>
    private byte[]? WithWhatLeaderKnows(Envelope envelope)
    {
        if (!IsForNode(envelope) || NodeCommand.LevelOf(envelope.Command) is not { } asked)
            return null;
        var known = new List<KnownRange> { new(new MemberIncarnation(Self, Incarnation), _options.Features.Of(asked.Feature)) };
        foreach (var member in _links.Linked)
        {
            if (!member.IsObserver && _links.Current(member) is { Incarnation: > 0 } hello)
                known.Add(new KnownRange(new MemberIncarnation(member, hello.Incarnation), hello.Features.Of(asked.Feature)));
        }
        return envelope.With((asked with { Known = known }).Encode());
    }

    private void LevelsApplied(FinalizedLevels levels)
    {
        foreach (var participant in _participants)
            participant.LevelsApplied(levels);
    }

    /// <summary>Whoever is linked and does not support what is finalised now is told so, and heard no more.</summary>
    private void FollowLevels()
    {
        var now = _applier.Levels.Current;
        // Values: a snapshot brings the same levels as other objects.
        if (now.Equals(_levelsSeen) || IsStopped)
            return;
        foreach (var (feature, finalized) in now.All.Where(l => !_levelsSeen.All.Contains(l)))
            LogFinalized(_ports.Logger, Self.Value, feature, finalized.Level, finalized.At.Value);
        _links.Levels = _levelsSeen = now;
        TellRefused(_links.TakeUnready());
    }

    private void AnnounceSelf() =>
        _ports.Transport.SetHello(
            new PeerHello(ClusterId, Self, Incarnation, Boot, _options.Members.GetValueOrDefault(Self, ""), HostProcess)
        {
            RunEnds = _storage.Identity?.RunEnds ?? RunEnds.None,
            Features = _options.Features,
            // Not one whose directory cannot be read with this build: it has a life.
            AsksToBeAdded = _options.AutoJoin && Core is null && Incarnation == 0 && !Self.IsObserver,
        });
}
