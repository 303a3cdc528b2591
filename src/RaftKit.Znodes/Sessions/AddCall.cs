using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Sessions;

/// <summary>Brings a new session to the loop.</summary>
internal sealed class AddCall(SessionKeeper keeper, LocalSession session) : ILoopCall
{
    public bool MayBeRefused => true;

    /// <summary>Why it was refused, once it was posted; null if it was taken.</summary>
    public string? Refusal { get; private set; }

    public void Run() => keeper.Add(session);

    public void Refused(string reason) => Refusal = reason;

    // Its calls will be told the same.
    public void Stopped()
    {
    }
}
