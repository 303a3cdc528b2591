using RaftKit.Consensus;

namespace RaftKit.Node.Loop;

/// <summary>
/// The log (or a snapshot) holds work of a state machine that was not registered on this member. The node stops before it: skipping the
/// entry would make this member's state differ from the others' for good. Nothing is lost: the entry stays in the log, and a start with the
/// machine registered goes on from there.
/// </summary>
public sealed class StateMachineMissingException : Exception
{
    internal StateMachineMissingException(string machine, LogIndex index, string where)
        : base($"{where} {index} holds work of the state machine '{machine}', which is not registered on this member. The member stops before it; nothing is lost. "
            + $"Register '{machine}' and start again. When you add a state machine, register it on every member before anybody proposes to it.")
    {
        Machine = machine;
        Index = index;
    }

    /// <summary>The machine's name.</summary>
    public string Machine { get; }

    /// <summary>The entry, or the last one that the snapshot covers.</summary>
    public LogIndex Index { get; }
}
