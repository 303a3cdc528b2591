namespace RaftKit.TestKit;

/// <summary>
/// What the fault menu (tests/RaftKit.Simulation/README.md) names beside what has a counter of its own in <see cref="FaultCounters"/> and
/// <see cref="Coverage"/>. A sweep wants each of them; the table in tests/RaftKit.Simulation/README.md says which phrase is which.
/// </summary>
internal enum MenuItem
{
    // Network
    PartitionLeaderInMajority,
    PartitionLeaderInMinority,
    PartitionIsolatesOne,
    PartitionDeaf,
    PartitionMute,
    PartitionBridge,
    PartitionRing,
    PartitionOneWay,
    PartitionFlapping,

    /// <summary>A living process of another machine looks like one that is gone: connections to it are refused on the way.</summary>
    RefusedOnTheWay,

    /// <summary>Its sessions were ended for that while it still counted on them, as ExpireOnRefusedConnection says.</summary>
    RefusedWithLease,

    PartitionStar,

    /// <summary>Five, of whom all reach one only, who hears a leader that no quorum hears: pre-vote alone would hang.</summary>
    PartitionStarOfFive,

    StormOfOneKind,
    StormOverOneLink,

    // Process
    KillOne,
    PowerCutOne,
    KillQuorum,
    PowerCutQuorum,
    KillAll,
    PowerCutAll,
    KillAtIo,
    PowerCutAtIo,
    KillInRecovery,
    PowerCutInRecovery,

    /// <summary>Some effects of a turn were carried out, others were not.</summary>
    KillBetweenEffects,

    StopInOrder,
    PauseBelowSecond,
    PauseOfSeconds,

    /// <summary>From 8 to 30 seconds: longer than most sessions last.</summary>
    PauseOfManySeconds,

    /// <summary>At least half a minute.</summary>
    PauseLong,

    TicksSlow,
    TicksFast,
    ClockSlow,
    ClockFast,

    // Disk
    EnospcCreate,
    EnospcWrite,
    SectorKept,
    SectorDropped,
    CreateLost,
    RenameLost,
    DeleteLost,
    BitFlipLog,
    BitFlipSnapshot,
    BadSectorLog,
    BadSectorSnapshot,

    /// <summary>A process that was up had to find it by itself.</summary>
    BadSectorWhileUp,

    /// <summary>The disk answered a read, or the second try of one, with an error.</summary>
    BadSectorRead,

    /// <summary>What stood there was fetched again.</summary>
    BadSectorRepaired,

    // A disk of which every call may fail, for a while.
    FailingDiskAboveTenPercent,
    FailingDiskBelowTenPercent,
    FailingDiskRead,
    FailingDiskMisread,
    FailingDiskWrite,
    FailingDiskSync,
    FailingDiskCreate,
    FailingDiskRename,
    FailingDiskDelete,
    FailingDiskLock,
    FailingDiskNoSpace,
    FailingDiskStall,

    /// <summary>A start ended before it was over.</summary>
    FailingDiskEndsStart,

    /// <summary>A process that was up stopped of it.</summary>
    FailingDiskEndsRun,

    /// <summary>What could not be read was fetched from others.</summary>
    FailingDiskRepaired,

    FailingDisksOfSeveral,
    FailingDiskOfObserver,

    /// <summary>A process that was up read it for somebody else, and wrote a snapshot in its place.</summary>
    RotMetWhileUp,

    ObserverRot,
    ObserverRepaired,
    ObserverBadSector,
    ObserverOldCopy,

    /// <summary>The copy is of before the disk was emptied: a later life began since.</summary>
    ObserverOldLife,

    /// <summary>Somebody who was told what it lacks was there.</summary>
    ObserverOldCopyRefused,

    /// <summary>The disk of whoever leads stands still until another one does.</summary>
    LeaderDiskStands,

    // Snapshots
    SnapshotChunkCorrupt,
    SnapshotCrashTaking,
    SnapshotCrashCommitting,
    SnapshotCrashSending,
    SnapshotCrashReceiving,
    SnapshotCrashCompleting,
    SnapshotCrashRestoring,
    SnapshotCrashResetting,
    SnapshotsInParallel,
    SnapshotBehindInstall,
    SnapshotSuperseded,
    SnapshotTakenAmidChange,
    SnapshotInstalledAmidChange,

    // Membership
    MembersOneToSeven,
    MembersSevenToOne,
    MemberReadded,

    /// <summary>It asked to be added, no operator did, and it came to vote.</summary>
    MemberJoinedByItself,

    /// <summary>It was removed, its disk emptied, and it asked to be added.</summary>
    MemberRemovedAsks,
    CrashAmidJoint,
    CrashOfLeaderAmidJoint,
    WipeAmidChurn,
    OldCopyAmidChurn,
    RotAmidChurn,

    /// <summary>A change came to its end while somebody's disk was damaged, or empty.</summary>
    MembersChangedAmidDamage,

    /// <summary>All ended at once, and none was configured with anybody any more.</summary>
    MembersFoundByTheirLogs,

    /// <summary>It listens elsewhere since a restart, and heard of a commit there.</summary>
    MemberMoved,

    // Builds
    /// <summary>An observer of a newer build asked for what the leader does not know, and was refused in the log.</summary>
    CommandUnknown,

    // A quorum that is lost for good
    QuorumForced,

    /// <summary>In a life of a cluster in which one was forced before.</summary>
    QuorumForcedAgain,

    /// <summary>Writes that were acknowledged, and that the survivor had never heard of.</summary>
    QuorumForcedLosesWrites,

    /// <summary>One that was left behind was started, and refused.</summary>
    QuorumForcedLeavesBehind,

    /// <summary>One that was left behind ran on beside the quorum that was forced, until it was refused.</summary>
    QuorumForcedBeside,

    /// <summary>A majority was left behind and ran on: it committed what the quorum that was forced knows nothing of.</summary>
    QuorumForcedBesideAnother,

    /// <summary>Where members come and go.</summary>
    QuorumForcedAmidChurn,

    /// <summary>The survivor's newest membership was one of two halves.</summary>
    QuorumForcedAmidJoint,
}
