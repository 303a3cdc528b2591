using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>Which membership may follow which, in every log that is written, and whose word counts under the one that governs.</summary>
internal sealed partial class SafetyChecker
{
    /// <summary>
    /// The membership that governs a member: the newest in its log, committed or not (Raft 6), read there. What the core believes to be the
    /// newest is asked only where the log does not hold it any more.
    /// </summary>
    private static Membership MembershipOf(Mirror mirror, RaftCore core)
    {
        var index = core.MembershipIndex;
        if (index < core.FirstIndex || core.Log.TermAt(index) is not { } term)
            return core.Membership;
        if (mirror.MembershipIndex == index && mirror.MembershipTerm == term)
            return mirror.Membership;
        var entries = new List<Entry>();
        // What rotted on the disk the core knows, too.
        if (!core.Log.TryRead(index, index, 1 << 20, core.Applied, entries))
            return core.Membership;
        return entries is [{ Kind: EntryKind.Membership } entry] && MembershipCodec.TryDecode(entry.Payload.Span, out var membership)
            ? membership : core.Membership;
    }

    private void NoteMemberships(SimulatedMember member, Mirror mirror, LogBatch batch)
    {
        if (batch.ResetTo is { } snapshot)
        {
            mirror.Written.Clear();
            mirror.Written.Add((snapshot.Index, snapshot.Membership));
        }
        if (batch.TruncateFrom is { } from)
            mirror.Written.RemoveAll(m => m.Index >= from);
        foreach (var entry in batch.Entries)
            NoteMembership(member, mirror, entry);
    }

    /// <summary>What a start found: what a process that was killed wrote last may be missing.</summary>
    private void RestoreMemberships(SimulatedMember member, Mirror mirror, RaftCore core, IReadOnlyList<Entry> entries)
    {
        mirror.Written.Clear();
        var snapshot = core.Snapshot;
        foreach (var entry in entries)
        {
            if (snapshot is not null && entry.Index > snapshot.Index)
            {
                mirror.Written.Add((snapshot.Index, snapshot.Membership));
                snapshot = null;
            }
            NoteMembership(member, mirror, entry);
        }
        if (snapshot is not null)
            mirror.Written.Add((snapshot.Index, snapshot.Membership));
    }

    private void NoteMembership(SimulatedMember member, Mirror mirror, in Entry entry)
    {
        if (entry.Kind != EntryKind.Membership || !MembershipCodec.TryDecode(entry.Payload.Span, out var next))
            return;
        // The first one founds the cluster, and an operator's sets aside all that were before it.
        if (mirror.Written is [.., (var index, { Voters.Count: > 0 } now)] && !_forcedTerms.Contains(entry.Term))
        {
            Require(MayFollow(now, next), 12,
                $"the log of member {member.Id} goes from {now} (entry {index}) to {next} (entry {entry.Index} of term {entry.Term}) at once");
        }
        mirror.Written.Add((entry.Index, next));
    }

    /// <summary>
    /// A joint membership carries all voters of before, and is left for its own; without one a single voter, which is one life of a member,
    /// enters or leaves (Raft 6, thesis 4.1 and 4.3).
    /// </summary>
    private static bool MayFollow(Membership now, Membership next)
    {
        if (now.IsJoint)
            return !next.IsJoint && now.Voters.ToHashSet().SetEquals(next.Voters);
        if (next.IsJoint)
            return now.Voters.ToHashSet().SetEquals(next.Outgoing);
        return now.Voters.Except(next.Voters).Count() + next.Voters.Except(now.Voters).Count() <= 1;
    }

    private static bool HasMajority(Membership membership, Func<MemberIncarnation, bool> counts) =>
        membership.Voters.Count(counts) > membership.Voters.Count / 2
        && (!membership.IsJoint || membership.Outgoing.Count(counts) > membership.Outgoing.Count / 2);

    private void RequireMajority(Membership membership, Func<MemberIncarnation, bool> counts, int invariant, FormattableString what)
    {
        RequireMajorityOf(membership.Voters);
        if (membership.IsJoint)
            RequireMajorityOf(membership.Outgoing);

        void RequireMajorityOf(IReadOnlyList<MemberIncarnation> voters)
        {
            var count = 0;
            foreach (var voter in voters)
                count += counts(voter) ? 1 : 0;
            if (count > voters.Count / 2)
                return;
            _world.Violate(
                $"invariant {invariant}: {what}: only [{string.Join(' ', voters.Where(counts))}] of [{string.Join(' ', voters)}]. Disks: "
                + string.Join(", ", _mirrors.Select(m => $"{m.Key}: {m.Value.Durable.Last} in term {m.Value.Durable.Term}")));
            // Those who do not vote, and with whom it would have been enough.
            var others = _mirrors.Select(m => new MemberIncarnation(m.Key, m.Value.Incarnation)).Where(
                m => !membership.IsVoter(m) && counts(m)).ToList();
            if (count + others.Count > voters.Count / 2 && others.Count > 0)
                _world.Violate(
                    $"invariant 14: {what}: [{string.Join(' ', others)}] must have counted beside [{string.Join(' ', voters.Where(counts))}], under {membership}");
        }
    }
}
