namespace RaftKit.Fuzz;

/// <summary>Something that reads bytes which anybody may have written.</summary>
internal abstract class FuzzTarget
{
    public abstract string Name { get; }

    /// <summary>How many bytes the input has: what reading it may allocate is measured by that.</summary>
    public abstract long InputBytes { get; }

    /// <summary>Draws an input.</summary>
    public abstract void Draw(Random random);

    /// <summary>Reads it, and judges the answer.</summary>
    /// <returns>Why it was refused; null when it was read, and what was read is right.</returns>
    /// <exception cref="WrongAnswerException">What was read is not what was written.</exception>
    public abstract string? Read();

    /// <summary>What the input is, for a report.</summary>
    public abstract string Describe();
}

/// <summary>Damaged bytes were read as something that nobody wrote.</summary>
internal sealed class WrongAnswerException(string message) : Exception(message);
