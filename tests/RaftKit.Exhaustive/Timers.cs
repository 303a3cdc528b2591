using System.Collections;
using System.Reflection;
using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>
/// Time without ticks: any timer that runs may run out at any moment, so how far it has run is no part of a state. After each turn every
/// counter of ticks is put back; an event that is a timer's puts its counter to the last tick before, and lets one tick pass. What the core
/// draws at random (only how long timers last) has no effect left.
/// </summary>
internal static class Timers
{
    /// <summary>Long enough that one tick, for one timer, makes no other one due.</summary>
    public const int ElectionTicks = 8;

    private const int NotSoon = 1_000_000;

    private static readonly FieldInfo RoleNow = ObjectGraph.Field(typeof(RaftCore), "_role");
    private static readonly FieldInfo Elapsed = ObjectGraph.Field(typeof(ElectionClock), "_elapsed");
    private static readonly FieldInfo Due = ObjectGraph.Field(typeof(ElectionClock), "_due");
    private static readonly FieldInfo SinceContact = ObjectGraph.Field(typeof(ElectionClock), "_sinceContact");
    private static readonly FieldInfo EvidenceLeft = ObjectGraph.Field(typeof(ElectionClock), "_evidenceLeft");
    private static readonly FieldInfo Failures = ObjectGraph.Field(typeof(ElectionClock), "_failures");
    private static readonly FieldInfo TallyTicks = ObjectGraph.Field(typeof(PreCandidateRole), "_tallyTicks");
    private static readonly FieldInfo SinceBeat = ObjectGraph.Field(typeof(LeaderRole), "_sinceBeat");
    private static readonly FieldInfo Peers = ObjectGraph.Field(typeof(LeaderRole), "_peers");
    private static readonly FieldInfo PeerList = ObjectGraph.Field(typeof(Replicator), "_peers");
    private static readonly FieldInfo Transfer = ObjectGraph.Field(typeof(LeaderRole), "_handover");
    private static readonly FieldInfo TransferTicks = ObjectGraph.Field(typeof(Handover), "_ticks");
    private static readonly FieldInfo Stall = ObjectGraph.Field(typeof(LeaderRole), "_stall");
    private static readonly FieldInfo StalledAt = ObjectGraph.Field(typeof(StallWatch), "_durable");
    private static readonly FieldInfo StallTicks = ObjectGraph.Field(typeof(StallWatch), "_ticks");
    private static readonly FieldInfo Asked = ObjectGraph.Field(typeof(RemoteReads), "_asked");

    /// <summary>Every timer that runs may take as long as it likes from here.</summary>
    public static void PutBack(RaftCore core)
    {
        Elapsed.SetValue(core.Clock, 0);
        Due.SetValue(core.Clock, NotSoon);
        SinceContact.SetValue(core.Clock, core.Clock.HeardLeader ? 0 : int.MaxValue);
        EvidenceLeft.SetValue(core.Clock, core.Clock.HasEvidence ? ElectionTicks : 0);
        // Only the range of a draw.
        Failures.SetValue(core.Clock, 0);
        foreach (var batch in (IList)Asked.GetValue(core.RemoteReads)!)
            batch.GetType().GetProperty("Ticks")!.SetValue(batch, 0);
        switch (RoleNow.GetValue(core))
        {
            case PreCandidateRole role:
                TallyTicks.SetValue(role, 0);
                break;
            case LeaderRole role:
                SinceBeat.SetValue(role, 0);
                TransferTicks.SetValue(Transfer.GetValue(role), 0);
                StallTicks.SetValue(Stall.GetValue(role), 0);
                StalledAt.SetValue(Stall.GetValue(role), LogIndex.Zero);
                foreach (var peer in PeersOf(role))
                    (peer.SilentTicks, peer.TicksSinceRemoval) = (0, 0);
                break;
        }
    }

    /// <summary>It is time to campaign, or to ask again.</summary>
    public static void Election(RaftCore core)
    {
        Elapsed.SetValue(core.Clock, NotSoon - 1);
        core.Tick();
    }

    /// <summary>The leader was silent for an election timeout, or its death long ago: whoever asks for a vote may get it.</summary>
    public static void Contact(RaftCore core)
    {
        SinceContact.SetValue(core.Clock, core.Clock.HeardLeader ? ElectionTicks - 1 : int.MaxValue);
        EvidenceLeft.SetValue(core.Clock, core.Clock.HasEvidence ? 1 : 0);
        core.Tick();
    }

    /// <summary>The leader is to say that it lives.</summary>
    public static void Beat(RaftCore core) => Lead(core, role => SinceBeat.SetValue(role, core.Options.HeartbeatTicks - 1));

    /// <summary>Nobody answered the leader for an election timeout.</summary>
    public static void Silence(RaftCore core) => Lead(core, role =>
    {
        foreach (var peer in PeersOf(role))
            peer.SilentTicks = ElectionTicks - 1;
    });

    /// <summary>The leader waited long enough for whom it wanted to hand over to.</summary>
    public static void TransferEnds(RaftCore core) =>
        Lead(core, role => TransferTicks.SetValue(Transfer.GetValue(role), ElectionTicks - 1));

    private static void Lead(RaftCore core, Action<LeaderRole> prepare)
    {
        prepare((LeaderRole)RoleNow.GetValue(core)!);
        core.Tick();
    }

    private static PeerProgress[] PeersOf(LeaderRole role) => (PeerProgress[])PeerList.GetValue(Peers.GetValue(role))!;
}
