using RaftKit.Consensus;

namespace RaftKit.Node.Transport;

/// <summary>Whether two hellos may make a link. Both sides judge by the same rules.</summary>
internal static class HelloRules
{
    /// <summary>Why a hello is refused; null when it is not.</summary>
    /// <param name="versions">Which versions of the protocol we speak.</param>
    /// <param name="ours">What we say.</param>
    /// <param name="theirs">What came.</param>
    /// <param name="dialled">The member that we dialled; nobody when it dialled us.</param>
    /// <param name="isPeer">Whether a member is one that we keep links with.</param>
    /// <param name="admitsJoiners">Whether we link with whoever asks to be added.</param>
    public static LinkFrame.Refusal? Judge(
        ProtocolRange versions, PeerHello ours, LinkFrame.Hello theirs, MemberId dialled, Func<MemberId, bool> isPeer,
        bool admitsJoiners = false)
    {
        if (versions.Common(theirs.Versions) is null || theirs.Said is not { } said)
        {
            return new(
                RefusalCode.Version,
                $"Member {ours.Member} speaks protocol versions {versions}, the other side speaks {theirs.Versions}: none of them is both's. Roll over a build in between that "
                + "speaks one of each" + (theirs.Versions.Highest <= ProtocolRange.LastWithoutRange
                    ? $"; none does with {theirs.Versions.Highest}, which was before versions were negotiated: stop all members, then start all with one build." : "."));
        }
        if (ours.ClusterId != Guid.Empty && said.ClusterId != Guid.Empty && ours.ClusterId != said.ClusterId)
        {
            return new(
                RefusalCode.Cluster,
                $"Member {ours.Member} is of cluster {ours.ClusterId}, member {said.Member} at {said.Endpoint} is of cluster {said.ClusterId}: "
                + "an endpoint of one is configured in the other, or a data directory was moved.");
        }
        if (said.Member == ours.Member)
        {
            return new(
                RefusalCode.Member,
                $"Both sides are member {ours.Member}: two members share an id, or member {ours.Member}'s own endpoint is configured as another's.");
        }
        if (!dialled.IsNone && said.Member != dialled)
        {
            return new(
                RefusalCode.Member,
                $"Member {ours.Member} dialled member {dialled} and member {said.Member} answered: check the endpoints configured there.");
        }
        // Who has no identity yet, and whom nobody told of all members, must hear that it is one of a cluster: else it forms another.
        if (!isPeer(said.Member) && !(ours.Incarnation == 0 && said.ClusterId != Guid.Empty))
        {
            // Only the loop, whose log counts, can tell whether it may be added.
            if (said is { AsksToBeAdded: true, Incarnation: 0, Member.IsObserver: false })
                return admitsJoiners ? null : new(RefusalCode.Member, NobodyByTheirOwnWish(ours.Member, said.Member, said.Endpoint));
            return new(RefusalCode.Member,
                $"Member {ours.Member} knows no member {said.Member}: its configuration and membership do not name it.");
        }
        return null;
    }

    /// <summary>What somebody hears who asks to be added where that is not allowed.</summary>
    public static string NobodyByTheirOwnWish(MemberId self, MemberId asking, string endpoint) =>
        $"Member {asking} asks to be added, and member {self} adds nobody by their own wish: AllowAutoJoin is false there. "
        + $"Have an operator call IQuorumMembership.AddAsync({asking}, \"{endpoint}\") on a member, or allow it there.";
}
